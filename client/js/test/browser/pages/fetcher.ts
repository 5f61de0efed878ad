import { fetch } from 'pollbridge/fetch'

Object.assign(window, { polled: fetch })
