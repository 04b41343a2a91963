// A message with the fields of its HEP packet.

import { h, line, shown } from './dom.js'
import { fullTime, bytes } from './format.js'

const PROTOCOLS = { 6: 'TCP', 17: 'UDP', 132: 'SCTP' }
const MOST = 65536
const SHOWN = new Set(['type', 'version', 'protocolFamily', 'protocol', 'srcIp', 'srcPort', 'dstIp', 'dstPort', 'timestamp', 'timestampUSecs', 'captureId', 'vendorChunks', 'payload'])

const endpoint = (ip, port) => {
  if (!ip) return '?'
  const host = ip.includes(':') ? `[${ip}]` : ip
  return port === null || port === undefined ? host : `${host}:${port}`
}

// camelCase names of JSON as words.
const words = (name) => name.replace(/([A-Z])/g, ' $1').toLowerCase()

const value = (fact) => (typeof fact === 'object' && fact !== null ? fact.data ?? JSON.stringify(fact) : String(fact))

const decoded = (base64) => Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))

export const payloadText = ({ data, encoding }) => (encoding === 'base64' ? null : data)

const facts = ({ packet, type, sender, transport, received }) => [
  ['from', endpoint(packet.srcIp, packet.srcPort)],
  ['to', endpoint(packet.dstIp, packet.dstPort)],
  ['captured', packet.timestamp ? fullTime(Date.parse(packet.timestamp) * 1000 + (packet.timestampUSecs ?? 0)) : 'no time'],
  ['protocol', PROTOCOLS[packet.protocol] ?? value(packet.protocol ?? 'none')],
  ['payload', type],
  ['HEP version', value(packet.version)],
  ['capture id', value(packet.captureId ?? 'none')],
  ...Object.keys(packet).filter((name) => !SHOWN.has(name)).map((name) => [words(name), value(packet[name])]),
  ...(packet.vendorChunks ?? []).map((chunk) => [`chunk ${chunk.vendorId}:${chunk.chunkId}`, value(chunk.data)]),
  ['sent by', sender ? `${sender} ${transport ?? ''}` : 'not by HEP'],
  ['received', received ? fullTime(received) : 'unknown']
]

const HEX = (byte) => byte.toString(16).padStart(2, '0')

const dump = (data) => {
  const lines = []
  for (let at = 0; at < data.length; at += 16) {
    const part = [...data.subarray(at, at + 16)]
    const text = part.map((byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('')
    lines.push(`${at.toString(16).padStart(4, '0')}  ${part.map(HEX).join(' ').padEnd(47)}  ${text}`)
  }
  return lines.join('\n')
}

// Highlights the first line and the names of headers.
const sip = (text) => {
  const pre = h('pre', { class: 'sip' })
  let inHead = true
  shown(text).split('\n').forEach((row, index) => {
    inHead = inHead && row !== ''
    const name = inHead && index > 0 ? /^[^\s:]+:/.exec(row) : null
    if (index > 0) pre.append('\n')
    if (index === 0) pre.append(h('b', {}, row))
    else if (name) pre.append(h('span', { class: 'name' }, name[0]), row.slice(name[0].length))
    else pre.append(row)
  })
  return pre
}

const json = (text) => {
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}

const body = ({ packet, type }) => {
  const { data, encoding } = packet.payload
  if (encoding === 'base64') {
    const all = decoded(data)
    return [`${bytes(all.length)}, not text`, h('pre', {}, dump(all.subarray(0, MOST)))]
  }
  const size = bytes(new TextEncoder().encode(data).length)
  const text = data.slice(0, MOST)
  if (data === '') return ['empty', h('pre', {})]
  return [size, type === 'sip' ? sip(text) : h('pre', {}, shown(type.includes('json') || text.startsWith('{') ? json(text) : text))]
}

export const render = (message) => {
  const [size, content] = body(message)
  const list = h('dl', { class: 'facts' })
  for (const [name, fact] of facts(message)) list.append(h('div', {}, h('dt', {}, line(name)), h('dd', {}, line(fact))))
  list.append(h('div', {}, h('dt', {}, 'size'), h('dd', {}, size)))
  return [list, content]
}
