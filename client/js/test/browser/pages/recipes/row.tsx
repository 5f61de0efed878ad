const Row = ({ order: { id, state } }: { order: Order }) => (
  <li>
    {id}: {state}
  </li>
)

Object.assign(globalThis, { Row })

export const list = document.body.appendChild(document.createElement('main'))
