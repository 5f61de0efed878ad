// What the recipes of docs/migrating.md take for granted, and what they export.

interface Order {
  id: number
  state: string
}

declare function render(data: any): void
declare function getToken(): Promise<string>
declare function Row(props: { order: Order }): import('react').ReactElement

declare module 'recipe' {
  export const Orders: any
  export const api: any
  export const client: any
  export const appConfig: any
  export default Orders
}
