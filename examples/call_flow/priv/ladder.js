// The ladder of a call: a column per host, an arrow per message.

import { h, svg, line } from './dom.js'
import { preciseTime, fullTime, delta } from './format.js'

const ROW = 34
const HEAD = 30
const LEAST = 150
const MOST = 340
const CHARACTER = 7.3

const NOTES = { rtcp: 'RTCP', rtp: 'RTP', log: 'log' }

const cut = (text, width) => {
  const most = Math.max(6, Math.floor(width / CHARACTER))
  return text.length > most ? `${text.slice(0, most - 1)}…` : text
}

const arrowLabel = (arrow) => {
  const label = line(arrow.label)
  if (arrow.retransmission) return `↻ ${label}`
  if (arrow.duplicate) return `≡ ${label}`
  return arrow.sdp ? `${label} (SDP)` : label
}

const spoken = (arrow, hosts) =>
  [
    preciseTime(arrow.time),
    NOTES[arrow.kind] ?? '',
    line(arrow.label),
    arrow.sdp ? 'with SDP' : '',
    arrow.retransmission ? 'retransmission' : '',
    arrow.duplicate ? 'reported again by another agent' : '',
    `from ${hosts[arrow.from - 1]} to ${hosts[arrow.to - 1]}`
  ].filter((part) => part !== '').join(' ')

const statusClass = (arrow) =>
  arrow.kind === 'response' ? `s${Math.min(6, Math.floor(arrow.status / 100))}` : ''

// The line and the head of an arrow. Requests are solid with a filled head, responses dashed with an open head, reports
// dotted with a diamond.
export const shape = (kind, from, to, y) => {
  const sign = to > from ? 1 : -1
  if (from === to) {
    return [
      svg('path', { class: 'shaft', d: `M${from} ${y - 5}h26v10h-18` }),
      svg('path', { class: kind === 'response' ? 'tip open' : 'tip', d: `M${from + 9} ${y + 1}l-7 4l7 4${kind === 'response' ? '' : 'z'}` })
    ]
  }
  const end = to - sign * 2
  const head = {
    response: `M${end - sign * 8} ${y - 5}L${end} ${y}L${end - sign * 8} ${y + 5}`,
    rtcp: `M${end} ${y}l${-sign * 5} -4l${-sign * 5} 4l${sign * 5} 4z`
  }
  return [
    svg('path', { class: 'shaft', d: `M${from} ${y}H${end - sign * (kind === 'response' ? 0 : 7)}` }),
    svg('path', {
      class: kind === 'response' ? 'tip open' : 'tip',
      d: head[kind === 'rtp' ? 'rtcp' : kind] ?? `M${end - sign * 9} ${y - 4.5}L${end} ${y}L${end - sign * 9} ${y + 4.5}z`
    })
  ]
}

export class Ladder {
  constructor(box, onSelect) {
    this.box = box
    this.onSelect = onSelect
    this.call = null
    this.selected = null
    box.addEventListener('click', (event) => {
      const option = event.target.closest('[role=option]')
      if (option) this.select(Number(option.dataset.index), true)
    })
    new ResizeObserver(() => this.call && this.draw()).observe(box)
  }

  clear() {
    this.call = null
    this.selected = null
    this.width = 0
    this.box.replaceChildren()
    this.box.removeAttribute('aria-activedescendant')
  }

  // Keeps the selected message when the same call has grown.
  show(call) {
    const chosen = this.call?.arrows[this.selected]
    const index = chosen ? call.arrows.findIndex((a) => a.call === chosen.call && a.number === chosen.number) : -1
    this.selected = index < 0 ? null : index
    this.call = call
    this.width = 0
    this.draw()
  }

  get arrows() {
    return this.call?.arrows ?? []
  }

  draw() {
    const { hosts } = this.call
    const timeWidth = 112
    const room = this.box.clientWidth - timeWidth - 4
    const column = Math.min(MOST, Math.max(LEAST, Math.floor(room / Math.max(1, hosts.length))))
    if (column === this.width) return
    this.width = column
    const width = Math.max(column * hosts.length, room)
    const height = this.arrows.length * ROW + 12
    const x = (host) => Math.round((host - 0.5) * column)
    const names = hosts.map((host, index) =>
      svg('text', { x: x(index + 1), y: 19, 'text-anchor': 'middle', class: 'host' }, svg('title', {}, host), cut(host, column - 6)))
    const lines = hosts.map((_, index) => svg('path', { class: 'life', d: `M${x(index + 1)} 0V${height}` }))
    const head = h('div', { class: 'hosts', role: 'presentation' },
      svg('svg', { width: timeWidth, height: HEAD, 'aria-hidden': true }, svg('text', { x: 8, y: 19, class: 'unit' }, 'time, +s')),
      svg('svg', { width, height: HEAD, role: 'presentation' }, ...names))
    const times = svg('svg', { class: 'times', width: timeWidth, height, 'aria-hidden': true }, ...this.times())
    const body = svg('svg', { width, height, role: 'presentation' }, ...lines, ...this.arrows.map((arrow, index) => this.arrow(arrow, index, x, width)))
    this.box.replaceChildren(head, h('div', { class: 'steps', role: 'presentation' }, times, body))
    this.mark()
  }

  times() {
    let before = null
    // In the order of their first message.
    const legs = [...new Set(this.arrows.map((arrow) => arrow.call))]
    return this.arrows.flatMap((arrow, index) => {
      const y = index * ROW
      const passed = before === null || arrow.time === null ? '' : delta(arrow.time - before)
      before = arrow.time ?? before
      const leg = legs.length > 1 ? String.fromCharCode(65 + legs.indexOf(arrow.call)) : ''
      return [
        svg('text', { x: 8, y: y + 16, class: 'time' }, svg('title', {}, fullTime(arrow.time)), preciseTime(arrow.time)),
        svg('text', { x: 92, y: y + 29, class: 'delta', 'text-anchor': 'end' }, passed),
        svg('text', { x: 8, y: y + 29, class: `leg leg-${leg}` }, leg)
      ]
    })
  }

  arrow(arrow, index, x, width) {
    const y = index * ROW
    const from = x(arrow.from)
    const to = x(arrow.to)
    const classes = ['arrow', arrow.kind, statusClass(arrow), arrow.retransmission && 'again', arrow.duplicate && 'again']
    const group = svg('g', {
      role: 'option',
      id: `step-${index}`,
      'data-index': index,
      'aria-label': spoken(arrow, this.call.hosts),
      'aria-selected': false,
      class: classes.filter(Boolean).join(' ')
    }, svg('rect', { class: 'field', x: 0, y, width, height: ROW }))
    if (arrow.kind === 'log') {
      const room = Math.min(arrowLabel(arrow).length * CHARACTER + 18, width - 8)
      const left = Math.max(4, Math.min(from - room / 2, width - room - 4))
      group.append(
        svg('rect', { class: 'note', x: left, y: y + 7, width: room, height: 21, rx: 2 }),
        svg('text', { x: left + 7, y: y + 22, class: 'label' }, cut(arrowLabel(arrow), room - 14))
      )
    } else {
      const self = from === to
      const room = self ? this.width - 34 : Math.abs(to - from) - 12
      group.append(
        ...shape(arrow.kind, from, to, y + 25),
        svg('text', {
          x: self ? from + 32 : (from + to) / 2, y: self ? y + 29 : y + 15, class: 'label', 'text-anchor': self ? 'start' : 'middle'
        }, cut(arrowLabel(arrow), room))
      )
    }
    return group
  }

  select(index, entered) {
    this.selected = index
    this.mark()
    document.getElementById(`step-${index}`)?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
    this.onSelect(this.arrows[index], entered)
  }

  mark() {
    for (const option of this.box.querySelectorAll('[role=option]')) {
      option.setAttribute('aria-selected', Number(option.dataset.index) === this.selected)
    }
    if (this.selected === null) this.box.removeAttribute('aria-activedescendant')
    else this.box.setAttribute('aria-activedescendant', `step-${this.selected}`)
  }

  move(by) {
    if (this.arrows.length === 0) return
    const next = Math.min(this.arrows.length - 1, Math.max(0, (this.selected ?? -1) + by))
    this.select(next, false)
  }
}
