import axios, { type AxiosPromise, type InternalAxiosRequestConfig } from 'axios'
import { fetch as polled, type PolledFetch } from './fetch.js'

/**
 * An axios adapter that answers what is polled from the live document. Until a
 * URL is live, and for everything that is not a GET, requests go the way they
 * go without it.
 *
 *     axios.create({ adapter })
 */
export function adapter(config: InternalAxiosRequestConfig, fetch: PolledFetch = polled): AxiosPromise {
  const isLive = config.method?.toLowerCase() === 'get' && !config.onDownloadProgress && fetch.asks(axios.getUri(config))
  if (!isLive) return axios.getAdapter(axios.defaults.adapter)(config)
  const through = { ...config, env: { ...config.env, fetch } } as InternalAxiosRequestConfig
  return (axios.getAdapter as GetAdapter)('fetch', through)(through)
}

// It takes the configuration too, which its types do not say.
type GetAdapter = (name: string, config: InternalAxiosRequestConfig) => (config: InternalAxiosRequestConfig) => AxiosPromise
