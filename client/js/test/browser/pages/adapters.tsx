// Components that the tests mount and unmount: each notes what it renders.
import { QueryClient, QueryClientProvider, useQuery } from '@tanstack/react-query'
import { createRoot } from 'react-dom/client'
import useSWRSubscription from 'swr/subscription'
import { useWatch } from 'pollbridge/react'
import { subscribe } from 'pollbridge/swr'
import { watchQuery } from 'pollbridge/tanstack'

interface Document {
  n: number
}

interface Failure {
  code: string
}

/** [n, code of the error] of each render. */
type Notes = [number | undefined, string | undefined][]

function React({ url, notes }: { url: string | null; notes: Notes }) {
  const { data, error } = useWatch<Document>(url)
  notes.push([data?.n, error?.code])
  return null
}

function SWR({ url, notes }: { url: string; notes: Notes }) {
  const { data, error } = useSWRSubscription<Document, Failure>(url, subscribe)
  notes.push([data?.n, error?.code])
  return null
}

function TanStack({ url, notes }: { url: string; notes: Notes }) {
  const { data, error } = useQuery({ ...watchQuery<Document>(url), queryKey: ['mine', url], retry: false })
  notes.push([data?.n, (error as Failure | null)?.code])
  return null
}

const components = { React, SWR, TanStack }
const queryClient = new QueryClient()

function mount(name: keyof typeof components, url: string) {
  const notes: Notes = []
  const root = createRoot(document.createElement('div'))
  const Component = components[name]
  const show = (url: string) =>
    root.render(
      <QueryClientProvider client={queryClient}>
        <Component url={url} notes={notes} />
      </QueryClientProvider>,
    )
  show(url)
  return { notes, show, unmount: () => root.unmount() }
}

Object.assign(window, { mount })
