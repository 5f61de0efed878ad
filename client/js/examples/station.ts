/** What /api/stations has one of for each station. */
export interface Station {
  id: string
  name: string
  bikes: number
}

/** The button that takes the example off the page again. */
export const stop = document.querySelector<HTMLButtonElement>('#stop')!

export const app = document.querySelector<HTMLDivElement>('#app')!
