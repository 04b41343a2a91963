// HEP packets and SIP messages, written without the library.

import dgram from 'node:dgram'

const chunk = (id, data) => {
  const head = Buffer.alloc(6)
  head.writeUInt16BE(id, 2)
  head.writeUInt16BE(6 + data.length, 4)
  return Buffer.concat([head, data])
}

const number = (bytes, value) => {
  const data = Buffer.alloc(bytes)
  data.writeUIntBE(value, 0, bytes)
  return data
}

const address = (ip) => Buffer.from(ip.split('.').map(Number))

export const TYPES = { sip: 1, rtcp: 5, log: 100 }

// `time' is in microseconds. Addresses that are null are left out.
export const packet = ({ type = 'sip', from = '10.0.0.1', to = '10.0.0.2', time = Date.now() * 1000, agent = 7, correlation, payload }) => {
  const chunks = [
    chunk(1, number(1, 2)), chunk(2, number(1, 17)), ...(from ? [chunk(3, address(from))] : []), ...(to ? [chunk(4, address(to))] : []),
    chunk(7, number(2, 5060)), chunk(8, number(2, 5060)),
    chunk(9, number(4, Math.floor(time / 1e6))), chunk(10, number(4, time % 1e6)),
    chunk(11, number(1, TYPES[type])), chunk(12, number(4, agent)),
    ...(correlation ? [chunk(17, Buffer.from(correlation))] : []),
    chunk(15, Buffer.from(payload))
  ]
  const head = Buffer.from('HEP3\0\0')
  const all = Buffer.concat([head, ...chunks])
  all.writeUInt16BE(all.length, 4)
  return all
}

export const sip = (line, { id, cseq = '1 INVITE', from = '<sip:alice@example.org>;tag=a', to = '<sip:bob@example.org>', more = '', body = '' }) => [
  line, `Via: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK${cseq.replace(' ', '')}`, `From: ${from}`, `To: ${to}`, `Call-ID: ${id}`, `CSeq: ${cseq}`,
  ...(more ? [more] : []), ...(body ? ['Content-Type: application/sdp'] : []), `Content-Length: ${Buffer.byteLength(body)}`, '', body
].join('\r\n')

const SDP = 'v=0\r\no=- 1 1 IN IP4 10.0.0.1\r\ns=-\r\nc=IN IP4 10.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n'

// A whole call: retransmitted, answered, with RTCP and a log event, and ended. `start' is in milliseconds.
export const call = (id, { start = Date.now(), ...headers } = {}) => {
  const at = (ms) => (start + ms) * 1000
  const request = (ms, method, cseq, body) =>
    packet({ time: at(ms), payload: sip(`${method} sip:bob@example.org SIP/2.0`, { id, cseq, body, ...headers }) })
  const response = (ms, status, cseq, body) =>
    packet({ time: at(ms), from: '10.0.0.2', to: '10.0.0.1', payload: sip(`SIP/2.0 ${status}`, { id, cseq, body, ...headers }) })
  return [
    request(0, 'INVITE', '1 INVITE', SDP),
    request(500, 'INVITE', '1 INVITE', SDP),
    response(520, '100 Trying', '1 INVITE'),
    response(600, '180 Ringing', '1 INVITE'),
    response(2000, '200 OK', '1 INVITE', SDP),
    request(2010, 'ACK', '1 ACK'),
    packet({ type: 'rtcp', time: at(2100), correlation: id, payload: '{"ssrc":1}' }),
    packet({ type: 'log', time: at(2200), correlation: id, payload: 'NOTICE: the call is up' }),
    request(4000, 'BYE', '2 BYE'),
    response(4010, '200 OK', '2 BYE')
  ]
}

export const LABELS = ['INVITE (SDP)', '↻ INVITE', '100 Trying', '180 Ringing', '200 OK (SDP)', 'ACK', 'RTCP', 'NOTICE: the call is up', 'BYE', '200 OK']

// Sends packets, with pauses (in milliseconds) so that the kernel's buffer takes them all.
export const send = async (port, packets, pause = 20) => {
  const socket = dgram.createSocket('udp4')
  for (let index = 0; index < packets.length; index++) {
    await new Promise((resolve, reject) => socket.send(packets[index], port, '127.0.0.1', (error) => (error ? reject(error) : resolve())))
    if (pause > 0 && index % 200 === 199) await new Promise((resolve) => setTimeout(resolve, pause))
  }
  socket.close()
}
