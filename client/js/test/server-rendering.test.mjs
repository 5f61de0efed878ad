import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createElement } from 'react'
import { renderToString } from 'react-dom/server'
import { get } from 'svelte/store'
import { createSSRApp, h } from 'vue'
import { renderToString as renderVue } from 'vue/server-renderer'
import { createClient } from '../dist/index.js'
import { createFetch } from '../dist/fetch.js'
import { useWatch } from '../dist/react.js'
import { watchStore } from '../dist/svelte.js'
import { useWatch as useVueWatch } from '../dist/vue.js'

// A page that is rendered on a server shows what it shows before the first
// document, and leaves no connection behind.
const show = ({ data, status }) => `${status}: ${data}`

const renderers = {
  react: (client) => renderToString(createElement(() => createElement('p', null, show(useWatch('/api/orders', client))))),
  vue: (client) =>
    renderVue(
      createSSRApp({
        setup() {
          const { state } = useVueWatch('/api/orders', client)
          return () => h('p', show(state.value))
        },
      }),
    ),
  svelte: (client) => `<p>${show(get(watchStore('/api/orders', client)))}</p>`,
}

for (const [name, render] of Object.entries(renderers)) {
  test(`${name} opens no socket on a server`, async (t) => {
    let opened = 0
    class WebSocket {
      constructor() {
        opened++
      }
      close() {}
    }
    const client = createClient({ url: 'http://127.0.0.1:1/.pollbridge/socket', WebSocket })
    t.after(() => client.close())
    assert.equal(await render(client), '<p>connecting: undefined</p>')
    assert.equal(opened, 0)

    client.watch('/api/orders')
    assert.equal(opened, 1, 'a watch would have opened one')
  })
}

test('pollbridge/fetch is plain fetch where there is no page', async () => {
  const asked = []
  const fetch = createFetch({ fetch: async (url) => new Response(asked.push(url)) })
  for (let i = 0; i < 3; i++) {
    await fetch('http://127.0.0.1:1/api/orders')
    await new Promise((resolve) => setTimeout(resolve, 60))
  }
  assert.equal(asked.length, 3)
  assert.equal(fetch.asks('http://127.0.0.1:1/api/orders'), false)
})
