import { type Client, type Handle, watch } from './index.js'

// What is used of htmx 2 and of htmx 4; each has one of the two ways to register.
interface Htmx {
  defineExtension?(name: string, extension: object): void // 2
  registerExtension?(name: string, extension: object): void // 4
  swap: (...args: any[]) => unknown
}

interface Api2 {
  getAttributeValue(element: Element, name: string): string | null
  getClosestAttributeValue(element: Element, name: string): string | null
  getSwapSpecification(element: Element): object
  getTarget(element: Element): Element
}

interface Api4 {
  attributeValue(element: Element, name: string): string | null | undefined
  htmxProp(element: Element): object // marks the element as one to clean up
}

/**
 * Adds the attribute `hx-watch="/fragment"` to htmx: the HTML at that URL is
 * swapped in whenever it changes, as `hx-get` with `hx-trigger="every 2s"` does
 * by asking. `hx-target`, `hx-swap`, `hx-select` and `hx-select-oob` mean what
 * they mean there. htmx 2 wants `hx-ext="pollbridge"` on the element or above
 * it; htmx 4 does not.
 */
export function extend(htmx: Htmx, client: Pick<Client, 'watch'> = { watch }): void {
  const watched = new WeakMap<Element, { url: string; handle: Handle }>()
  const swapping = new Map<string, string>() // by URL: the HTML that is being swapped in

  const close = (element: Element) => {
    watched.get(element)?.handle.close()
    watched.delete(element)
  }
  const open = (element: Element, url: string | null | undefined, swap: (html: string) => unknown) => {
    if (watched.get(element)?.url === url) return
    close(element)
    if (!url) return
    const handle = client.watch(url)
    watched.set(element, { url, handle })
    let shown = swapping.get(url) // an element that replaces itself holds this already
    const push = async () => {
      if (!element.isConnected) return close(element)
      const { data: html } = handle.getSnapshot()
      if (typeof html !== 'string' || html === shown) return
      shown = html
      swapping.set(url, html)
      try {
        await swap(html)
      } finally {
        swapping.delete(url)
      }
    }
    handle.subscribe(push)
    void push()
  }

  let api2: Api2
  htmx.defineExtension?.('pollbridge', {
    init: (api: Api2) => void (api2 = api),
    getSelectors: () => ['[hx-watch]', '[data-hx-watch]'],
    onEvent(name: string, { target: element }: { target: Element }) {
      if (name === 'htmx:beforeCleanupElement') close(element)
      if (name !== 'htmx:afterProcessNode') return
      const attribute = (name: string) => api2.getClosestAttributeValue(element, name)
      open(element, api2.getAttributeValue(element, 'hx-watch'), (html) => {
        return new Promise((resolve) => {
          htmx.swap(api2.getTarget(element), html, api2.getSwapSpecification(element), {
            contextElement: element,
            select: attribute('hx-select'),
            selectOOB: attribute('hx-select-oob'),
            afterSettleCallback: resolve,
          })
        })
      })
    },
  })

  let api4: Api4
  htmx.registerExtension?.('pollbridge', {
    init: (api: Api4) => void (api4 = api),
    htmx_after_process(root: Element) {
      for (const element of [root, ...root.querySelectorAll('[hx-watch]')]) {
        const url = element.getAttribute('hx-watch')
        if (!url || element.closest('[hx-ignore]')) continue
        api4.htmxProp(element)
        const attribute = (name: string) => api4.attributeValue(element, name) ?? undefined
        open(element, url, (text) =>
          htmx.swap({
            text,
            sourceElement: element,
            target: attribute('hx-target'),
            swap: attribute('hx-swap'),
            select: attribute('hx-select'),
            selectOOB: attribute('hx-select-oob'),
          }),
        )
      }
    },
    htmx_before_cleanup: close,
  })
}
