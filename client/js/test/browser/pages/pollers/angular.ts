import '@angular/compiler'
import { HttpClient, provideHttpClient, withXhr } from '@angular/common/http'
import { Component, inject } from '@angular/core'
import { bootstrapApplication } from '@angular/platform-browser'
import { exhaustMap, timer } from 'rxjs'
import { type Document, interval, show, url } from './poller.js'

@Component({ selector: 'app-poller', template: '' })
class Poller {
  constructor() {
    const http = inject(HttpClient)
    timer(interval, interval)
      .pipe(exhaustMap(() => http.get<Document>(url)))
      .subscribe(show)
  }
}

/** Polls with Angular's default backend, which is fetch, or with XMLHttpRequest. */
export function poll(xhr: boolean): void {
  document.body.append(document.createElement('app-poller'))
  void bootstrapApplication(Poller, { providers: [xhr ? provideHttpClient(withXhr()) : provideHttpClient()] })
}
