// The page: polls the server, and connects list, ladder, message and keys.

import { $, h, line, svg } from './dom.js'
import { count, preciseTime } from './format.js'
import * as api from './api.js'
import { Calls, party } from './calls.js'
import { List } from './list.js'
import { Ladder, shape } from './ladder.js'
import { render, payloadText } from './message.js'
import { draw } from './chart.js'

const INTERVAL = 1000
const HIDDEN_INTERVAL = 5000
const RETRY = 2000

const page = { source: 'live', related: false, paused: false, by: 'type', rates: null, wanted: null, text: null, timer: 0, loop: 0 }

const calls = new Calls()
const list = new List($('list'), $('rows'), calls, (id, entered) => {
  page.related = false
  openCall(id)
  if (entered) view('flow')
})
const ladder = new Ladder($('ladder'), (arrow, entered) => {
  openMessage(arrow)
  if (entered) view('message')
})

// On a narrow screen only one of the three is visible.
const view = (name) => {
  document.body.dataset.view = name
}

const say = (text) => {
  $('alert').textContent = text
  $('alert').hidden = text === ''
}

// ---- Polling

const poll = async () => {
  const loop = ++page.loop
  clearTimeout(page.timer)
  try {
    const answer = await api.state(page.source, calls.epoch, calls.seq)
    if (loop !== page.loop) return
    say('')
    take(answer)
    schedule(answer.more ? 0 : document.hidden ? HIDDEN_INTERVAL : INTERVAL)
  } catch (failure) {
    if (loop !== page.loop) return
    if (!(failure instanceof api.Failure)) throw failure
    failed(failure)
  }
}

const schedule = (after) => {
  clearTimeout(page.timer)
  if (!page.paused) page.timer = setTimeout(poll, after)
}

const failed = (failure) => {
  if (failure.status === 401) {
    if (!$('login').open) $('login').showModal()
    return
  }
  if (failure.status === 404 && page.source !== 'live') {
    toSource('live')
    say('The file is not on the server any more.')
    return
  }
  $('source').dataset.state = 'gone'
  $('source-name').textContent = 'disconnected'
  say(`${failure.message} Trying again.`)
  schedule(RETRY)
}

const take = (answer) => {
  const { source, totals, rates } = answer
  if (calls.take(answer)) list.update()
  named(source)
  page.rates = rates
  drawRates()
  drawTotals(totals)
  drawEmpty(totals, source)
  refreshCall()
}

const STATES = { receiving: 'receiving', reading: 'reading', done: '' }

const some = (number, one, several) => `${count(number)} ${number === 1 ? one : several}`

// What of a file is not on the page.
const losses = ({ error, invalid, incomplete, unknown_link: unknown, evicted }) => [
  ...(invalid > 0 ? [some(invalid, 'invalid HEP packet', 'invalid HEP packets')] : []),
  ...(incomplete > 0 ? [some(incomplete, 'message that lacks a part', 'messages that lack a part')] : []),
  ...(unknown > 0 ? [some(unknown, 'frame of an unknown link type', 'frames of an unknown link type')] : []),
  ...(evicted > 0 ? [some(evicted, 'call beyond the limits', 'calls beyond the limits')] : []),
  ...(error ? [`then ${error}`] : [])
]

// What of a call is not in the ladder or in the download.
const missing = ({ legs, not_shown: more, not_in_pcap: left }) => {
  const ignored = legs.reduce((sum, leg) => sum + leg.ignored, 0)
  return [
    ...(ignored > 0 ? [`${some(ignored, 'packet', 'packets')} beyond the limit per call not kept`] : []),
    ...(more > 0 ? [`${some(more, 'more packet', 'more packets')} in the downloads only`] : []),
    ...(left > 0 ? [`${some(left, 'packet', 'packets')} without addresses not in the pcap`] : [])
  ].join(', ')
}

const named = (source) => {
  const live = source.state === 'live'
  $('source').dataset.state = page.paused ? 'paused' : source.state
  $('source-name').textContent = live ? (page.paused ? 'paused' : 'live') : line(`${source.name} ${STATES[source.state]}`)
  $('to-live').hidden = live
  $('rates').hidden = !live
  const lost = source.state === 'done' ? losses(source) : []
  if (lost.length > 0 && source.epoch !== page.reported) {
    page.reported = source.epoch
    page.warning = `${source.name}: ${count(source.packets)} packets, ${lost.join(', ')}.`
  }
  if (!live && page.warning) say(line(page.warning))
}

const drawRates = () => {
  if (page.rates) page.now = draw(page.rates, page.by, $('chart'), $('legend'))
}

const drawTotals = (totals) => {
  const facts = [['calls', calls.ids.length]]
  if (totals) {
    facts.push(['packets', totals.received], ['/s', page.now ?? 0])
    const lost = [['rejected', totals.rejected], ['unauthenticated', totals.unauthenticated], ['dropped', totals.dropped], ['evicted', totals.evicted]]
    facts.push(...lost.filter(([, number]) => number > 0))
  }
  $('totals').replaceChildren(...facts.map(([name, number]) => h('div', {}, h('dt', {}, name), h('dd', {}, count(number)))))
}

const drawEmpty = (totals, source) => {
  const empty = $('no-calls')
  empty.hidden = calls.visible.length > 0
  if (calls.visible.length > 0) return
  if (calls.ids.length > 0) {
    empty.replaceChildren(h('p', {}, `None of ${count(calls.ids.length)} calls matches.`), h('p', {}, 'Esc clears the filter.'))
  } else if (totals) {
    const where = totals.listeners.map(({ transport, ip, port }) => h('code', {}, `${transport} ${ip}:${port}`))
    empty.replaceChildren(
      h('p', {}, 'No packets yet. Listening for HEP on ', ...where.flatMap((code, index) => (index === 0 ? [code] : [', ', code])), '.'),
      h('p', {}, 'Or drop a capture file on this page.')
    )
  } else {
    empty.replaceChildren(h('p', {}, source.state === 'done' ? 'The file has neither HEP nor SIP.' : 'Reading the file.'))
  }
}

// ---- The call

const openCall = async (id) => {
  const source = page.source
  page.wanted = { id, related: page.related, source }
  const wanted = page.wanted
  history.replaceState(null, '', source === 'live' ? `#call=${id}` : '#')
  try {
    const call = await api.call(source, id, page.related)
    if (page.wanted === wanted) showCall(call)
  } catch (failure) {
    if (page.wanted === wanted) noCall(failure.message)
  }
}

const refreshCall = () => {
  const shown = ladder.call
  if (!shown || page.loading) return
  const now = calls.byId.get(shown.id)
  const changed = shown.legs.some((leg) => (calls.byId.get(leg.id)?.seq ?? leg.seq) > leg.seq)
  if (!now || !changed) return
  page.loading = true
  openCall(shown.id).finally(() => {
    page.loading = false
  })
}

const title = (call) => {
  const row = call.legs.find((leg) => leg.id === call.id) ?? call.legs[0]
  return row ? `${party(row, 'from')} → ${party(row, 'to')}` : ''
}

const showCall = (call) => {
  const other = ladder.call?.id !== call.id
  if (other) {
    noMessage()
    ladder.clear()
  }
  $('no-call').hidden = true
  $('ladder').hidden = false
  const row = call.legs.find((leg) => leg.id === call.id)
  $('call-title').replaceChildren(h('b', {}, title(call)), ' ', h('span', { class: 'key' }, line(row?.key)))
  $('related').hidden = call.related.length === 0
  $('related').textContent = call.related.length === 1 ? '1 related call' : `${call.related.length} related calls`
  $('related').setAttribute('aria-pressed', page.related)
  for (const form of ['pcap', 'json']) {
    $(form).hidden = false
    $(form).href = api.callPath(page.source, call.id, page.related, `.${form}`)
  }
  $('call-note').textContent = missing(call)
  $('call-note').hidden = $('call-note').textContent === ''
  ladder.show(call)
  if (other && call.arrows.length > 0) ladder.select(0, false)
}

const noCall = (text) => {
  ladder.clear()
  noMessage()
  page.wanted = null
  $('ladder').hidden = true
  $('no-call').hidden = false
  $('no-call').replaceChildren(h('p', {}, text))
  $('call-title').textContent = 'No call selected'
  for (const id of ['related', 'pcap', 'json', 'call-note']) $(id).hidden = true
}

// ---- The message

const openMessage = async (arrow) => {
  const wanted = { source: page.source, id: arrow.call, number: arrow.number }
  const same = page.message && page.message.source === wanted.source && page.message.id === wanted.id && page.message.number === wanted.number
  if (same) return
  page.message = wanted
  try {
    const message = await api.message(wanted.source, wanted.id, wanted.number)
    if (page.message === wanted) showMessage(arrow, message)
  } catch (failure) {
    if (page.message === wanted) noMessage(failure.message)
  }
}

const showMessage = (arrow, message) => {
  page.text = payloadText(message.packet.payload)
  $('copy').hidden = page.text === null
  $('message-title').replaceChildren(h('b', {}, line(arrow.label)), ' ', h('span', { class: 'key' }, preciseTime(arrow.time)))
  $('content').replaceChildren(...render(message))
  $('content').scrollTop = 0
}

const noMessage = (text = '') => {
  page.message = null
  page.text = null
  $('copy').hidden = true
  $('message-title').textContent = 'No message selected'
  $('content').replaceChildren(...(text === '' ? [] : [h('p', { class: 'empty' }, text)]))
}

// ---- Sources

const toSource = (source) => {
  page.source = source
  page.related = false
  page.warning = null
  page.paused = false
  $('pause').setAttribute('aria-pressed', false)
  calls.clear()
  calls.filter($('filter').value)
  list.selected = null
  list.update()
  noCall(HINT)
  view('list')
  poll()
}

const openFile = async (file) => {
  if (!file) return
  try {
    say(`Sending ${line(file.name)}.`)
    const source = await api.upload(file, (part) => say(`Sending ${line(file.name)}: ${Math.round(part * 100)} %.`))
    say('')
    toSource(source)
  } catch (failure) {
    say(`${line(file.name)}: ${failure.message}`)
  }
}

const toggleRelated = () => {
  if (!ladder.call || $('related').hidden) return
  page.related = !page.related
  openCall(ladder.call.id)
}

const togglePause = () => {
  page.paused = !page.paused
  $('pause').setAttribute('aria-pressed', page.paused)
  if (page.paused) {
    clearTimeout(page.timer)
    page.loop++
    $('source').dataset.state = 'paused'
    $('source-name').textContent = 'paused'
  } else poll()
}

// ---- Keys

const back = () => {
  const shown = document.activeElement
  if ($('message').contains(shown) || document.body.dataset.view === 'message') {
    view('flow')
    $('ladder').focus()
  } else if ($('flow').contains(shown) || document.body.dataset.view === 'flow') {
    view('list')
    $('list').focus()
  } else if ($('filter').value !== '') {
    setFilter('')
  }
}

const enter = () => {
  const shown = document.activeElement
  if ($('flow').contains(shown)) {
    if (ladder.selected === null) ladder.move(1)
    view('message')
    $('content').focus()
  } else if (list.selected !== null && $('no-call').hidden) {
    view('flow')
    $('ladder').focus()
  } else list.move(1)
}

const move = (rows) => ($('flow').contains(document.activeElement) ? ladder : list).move(rows)

const scrolls = () => $('message').contains(document.activeElement)

const save = (form) => {
  if (!$(form).hidden) $(form).click()
}

const KEYS = {
  ArrowUp: () => !scrolls() && (move(-1), true),
  ArrowDown: () => !scrolls() && (move(1), true),
  k: () => (move(-1), true),
  j: () => (move(1), true),
  PageUp: () => !scrolls() && (move(-list.page), true),
  PageDown: () => !scrolls() && (move(list.page), true),
  Home: () => !scrolls() && (move(-Infinity), true),
  End: () => !scrolls() && (move(Infinity), true),
  Enter: () => (enter(), true),
  Escape: () => (back(), true),
  '/': () => ($('filter').focus(), $('filter').select(), true),
  '?': () => ($('keys').showModal(), true),
  x: () => (toggleRelated(), true),
  s: () => (save('pcap'), true),
  S: () => (save('json'), true),
  o: () => ($('file').click(), true),
  p: () => (togglePause(), true)
}

const setFilter = (text) => {
  $('filter').value = text
  calls.filter(text)
  $('list').scrollTop = 0
  list.draw()
  $('no-calls').hidden = calls.visible.length > 0
  if (calls.visible.length === 0) {
    $('no-calls').replaceChildren(h('p', {}, `None of ${count(calls.ids.length)} calls matches.`), h('p', {}, 'Esc clears the filter.'))
  }
}

const onKey = (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector('dialog[open]')) return
  const target = event.target
  if (target === $('filter')) {
    if (event.key === 'Escape') {
      setFilter('')
      $('list').focus()
    } else if (event.key === 'Enter' || event.key === 'ArrowDown') {
      $('list').focus()
      if (!calls.visible.includes(list.selected)) list.move(1)
    } else return
    event.preventDefault()
    return
  }
  if (event.key === 'Enter' && target.closest('button, a')) return
  if (KEYS[event.key]?.()) event.preventDefault()
}

// ---- Start

const HINT = 'Select a call: ↑ ↓, then Enter. ? lists the keys.'

const marks = () => {
  const kinds = [
    ['request', 'request'], ['response', 'response'], ['request again', '↻ retransmission, ≡ reported again by another agent'],
    ['rtcp', 'RTCP and RTP reports'], ['log', 'log event'], ['other', 'other']
  ]
  $('marks').replaceChildren(...kinds.map(([kind, text]) =>
    h('li', {},
      svg('svg', { width: 70, height: 14, 'aria-hidden': true },
        svg('g', { class: `arrow ${kind}` }, ...(kind === 'log'
          ? [svg('rect', { class: 'note', x: 1, y: 1, width: 66, height: 12, rx: 2 })]
          : shape(kind.split(' ')[0], 2, 68, 7)))),
      text)))
}

const listen = () => {
  document.addEventListener('keydown', onKey)
  document.addEventListener('visibilitychange', () => document.hidden || page.paused || schedule(0))
  $('filter').addEventListener('input', () => setFilter($('filter').value))
  $('pause').addEventListener('click', togglePause)
  $('open').addEventListener('click', () => $('file').click())
  $('file').addEventListener('change', () => openFile($('file').files[0]).then(() => ($('file').value = '')))
  $('help').addEventListener('click', () => $('keys').showModal())
  $('to-live').addEventListener('click', () => toSource('live'))
  $('related').addEventListener('click', toggleRelated)
  $('copy').addEventListener('click', () => navigator.clipboard.writeText(page.text))
  for (const button of document.querySelectorAll('.back')) button.addEventListener('click', back)
  $('by').addEventListener('click', (event) => {
    const by = event.target.dataset.by
    if (!by) return
    page.by = by
    for (const button of $('by').children) button.setAttribute('aria-pressed', button.dataset.by === by)
    drawRates()
  })
  $('login-form').addEventListener('submit', async (event) => {
    event.preventDefault()
    await login($('token').value)
  })
  dropping()
}

const dropping = () => {
  let depth = 0
  const show = (by) => {
    depth = Math.max(0, depth + by)
    $('drop').hidden = depth === 0
  }
  addEventListener('dragenter', (event) => (event.preventDefault(), show(1)))
  addEventListener('dragleave', () => show(-1))
  addEventListener('dragover', (event) => event.preventDefault())
  addEventListener('drop', (event) => {
    event.preventDefault()
    depth = 0
    $('drop').hidden = true
    openFile(event.dataTransfer.files[0])
  })
}

const login = async (token) => {
  try {
    await api.login(token)
    $('login-error').textContent = ''
    if ($('login').open) $('login').close()
    poll()
  } catch (failure) {
    $('login-error').textContent = failure.message
    if (!$('login').open) $('login').showModal()
  }
}

const start = () => {
  const hash = new URLSearchParams(location.hash.slice(1))
  marks()
  listen()
  noCall(HINT)
  $('list').focus()
  if (hash.has('token')) {
    history.replaceState(null, '', location.pathname)
    login(hash.get('token'))
  } else poll()
  if (/^\d+$/.test(hash.get('call') ?? '')) {
    list.selected = Number(hash.get('call'))
    openCall(list.selected)
  }
}

start()
