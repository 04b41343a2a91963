// The list of calls. Only visible rows are elements, so 10,000 calls cost as much as 50.

import { h } from './dom.js'
import { listTime, duration } from './format.js'
import { party, status, outcome } from './calls.js'

const OVERSCAN = 6
const CELLS = ['time', 'from', 'to', 'method', 'state', 'duration', 'count']

const newRow = () => {
  const row = h('div', { role: 'row', class: 'row' })
  row.cells = Object.fromEntries(CELLS.map((name) => {
    const cell = h('span', { role: 'gridcell', class: name })
    row.append(cell)
    return [name, cell]
  }))
  return row
}

const set = (element, text) => {
  if (element.textContent !== text) element.textContent = text
}

// The number first: the host is cut off when there is no room.
const setParty = (element, text) => {
  if (element.textContent === text) return
  const at = text.lastIndexOf('@')
  element.title = text
  element.replaceChildren(...(at > 0 ? [text.slice(0, at), h('i', {}, text.slice(at))] : [text]))
}

export class List {
  constructor(grid, rows, calls, onSelect) {
    this.grid = grid
    this.rows = rows
    this.calls = calls
    this.onSelect = onSelect
    this.pool = []
    this.selected = null
    this.first = null
    grid.addEventListener('scroll', () => this.draw(), { passive: true })
    new ResizeObserver(() => this.draw()).observe(grid)
    rows.addEventListener('click', (event) => {
      const row = event.target.closest('[role=row]')
      if (row) this.select(row.callId, true)
    })
  }

  get rowHeight() {
    return parseFloat(getComputedStyle(this.grid).getPropertyValue('--row'))
  }

  // After a change of the calls. If the list is scrolled down, the same rows stay visible.
  update() {
    const height = this.rowHeight
    this.rows.style.height = `${this.calls.visible.length * height}px`
    if (this.grid.scrollTop > 0 && this.first !== null) {
      const now = this.calls.visible.indexOf(this.first)
      if (now >= 0) this.grid.scrollTop += now * height - this.firstAt
    }
    this.draw()
  }

  draw() {
    const { grid, calls, pool } = this
    const height = this.rowHeight
    const head = this.rows.offsetTop
    const visible = calls.visible
    this.rows.style.height = `${visible.length * height}px`
    grid.setAttribute('aria-rowcount', visible.length + 1)
    const top = Math.max(0, Math.floor(grid.scrollTop / height))
    const start = Math.max(0, top - OVERSCAN)
    const end = Math.min(visible.length, Math.ceil((grid.scrollTop + grid.clientHeight - head) / height) + OVERSCAN)
    this.first = visible[top] ?? null
    this.firstAt = top * height
    const wanted = Math.max(0, end - start)
    while (pool.length < wanted) {
      pool.push(newRow())
      this.rows.append(pool[pool.length - 1])
    }
    while (pool.length > wanted) pool.pop().remove()
    for (let index = 0; index < wanted; index++) this.drawRow(pool[index], start + index, height)
    grid.classList.toggle('days', pool.some((row) => row.cells.time.textContent.includes(' ')))
    const active = visible.indexOf(this.selected)
    if (active >= start && active < end) grid.setAttribute('aria-activedescendant', `call-${this.selected}`)
    else grid.removeAttribute('aria-activedescendant')
  }

  drawRow(row, index, height) {
    const id = this.calls.visible[index]
    const call = this.calls.byId.get(id)
    row.callId = id
    row.id = `call-${id}`
    row.style.transform = `translateY(${index * height}px)`
    row.setAttribute('aria-rowindex', index + 2)
    row.setAttribute('aria-selected', id === this.selected)
    row.dataset.outcome = outcome(call)
    set(row.cells.time, listTime(call.time))
    setParty(row.cells.from, party(call, 'from'))
    setParty(row.cells.to, party(call, 'to'))
    set(row.cells.method, call.method ?? '')
    set(row.cells.state, status(call))
    set(row.cells.duration, duration(call.duration))
    set(row.cells.count, String(call.packets))
  }

  // Moves the selection by rows.
  move(by) {
    const visible = this.calls.visible
    if (visible.length === 0) return
    // Without a selection, starts before the first row.
    const next = Math.min(visible.length - 1, Math.max(0, visible.indexOf(this.selected) + by))
    this.select(visible[next], false)
  }

  get page() {
    return Math.max(1, Math.floor((this.grid.clientHeight - this.rows.offsetTop) / this.rowHeight) - 1)
  }

  select(id, entered) {
    this.selected = id
    this.reveal()
    this.draw()
    this.onSelect(id, entered)
  }

  reveal() {
    const index = this.calls.visible.indexOf(this.selected)
    if (index < 0) return
    const height = this.rowHeight
    const inside = this.grid.clientHeight - this.rows.offsetTop
    if (index * height < this.grid.scrollTop) this.grid.scrollTop = index * height
    else if ((index + 1) * height > this.grid.scrollTop + inside) this.grid.scrollTop = (index + 1) * height - inside
  }
}
