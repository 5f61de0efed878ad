import '@angular/compiler'
import { list } from './row.js'
import { provideHttpClient } from '@angular/common/http'
import { bootstrapApplication } from '@angular/platform-browser'
import * as recipe from 'recipe'

list.append(document.createElement('app-orders'))
void bootstrapApplication(recipe.Orders, recipe.appConfig ?? { providers: [provideHttpClient()] })
