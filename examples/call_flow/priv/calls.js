// The calls of the page, as reported by the server in the order of their changes.

import { line } from './dom.js'

const FIELDS = ['key', 'from', 'to', 'source', 'destination', 'method', 'state', 'status', 'reason']

const text = (call) =>
  [...FIELDS.map((field) => call[field] ?? ''), ...call.methods].join('\n').toLowerCase()

export class Calls {
  constructor() {
    this.clear()
    this.words = []
  }

  clear() {
    this.byId = new Map()
    // Ids in the order of arrival.
    this.ids = []
    this.visible = []
    this.seq = 0
    this.epoch = ''
  }

  // Applies an answer of /api/state. Returns whether anything changed.
  take({ source, seq, oldest, calls }) {
    let changed = calls.length > 0
    if (source.epoch !== this.epoch) {
      changed = true
      this.clear()
      this.epoch = source.epoch
    }
    let sorted = true
    for (const call of calls) {
      call.text = text(call)
      if (!this.byId.has(call.id)) {
        sorted = sorted && (this.ids.length === 0 || this.ids[this.ids.length - 1] < call.id)
        this.ids.push(call.id)
      }
      this.byId.set(call.id, call)
    }
    if (!sorted) this.ids.sort((a, b) => a - b)
    this.seq = seq
    changed = this.forget(oldest) || changed
    if (changed) this.refresh()
    return changed
  }

  // The server has evicted the calls below this one.
  forget(oldest) {
    const kept = this.ids.filter((id) => this.byId.get(id).seq >= oldest)
    if (kept.length === this.ids.length) return false
    const keep = new Set(kept)
    for (const id of this.ids) if (!keep.has(id)) this.byId.delete(id)
    this.ids = kept
    return true
  }

  filter(words) {
    this.words = words.toLowerCase().split(/\s+/).filter((word) => word !== '')
    this.refresh()
  }

  // The visible ids, the latest call first.
  refresh() {
    const { words, byId } = this
    const matching = words.length === 0
      ? this.ids.slice()
      : this.ids.filter((id) => words.every((word) => byId.get(id).text.includes(word)))
    this.visible = matching.reverse()
  }
}

export const party = (call, side) => line(call[side] ?? call[side === 'from' ? 'source' : 'destination'])

export const status = (call) => {
  if (call.state === null) return ''
  return call.status === null ? call.state : `${call.status} ${call.state}`
}

const GOOD = new Set(['answered', 'completed'])
const BAD = new Set(['rejected', 'failed'])

export const outcome = (call) => (GOOD.has(call.state) ? 'good' : BAD.has(call.state) ? 'bad' : 'open')
