// What the page shows and how it is used.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { after, before, test } from 'node:test'
import { call, LABELS, packet, send, sip } from './hep.mjs'
import { browser, labels, open, row, rows, show, start } from './server.mjs'

const { FIXTURES } = process.env

let server
let chrome
let page

before(async () => {
  server = await start()
  chrome = await browser()
  page = await open(chrome, server.url)
})

after(async () => {
  await chrome?.close()
  await server?.stop()
})

const quiet = () => assert.deepEqual(page.problems, [])

const focused = () => page.evaluate(() => document.activeElement.id)

test('an empty server shows where it listens', async () => {
  await page.getByText(`udp 127.0.0.1:${server.port}`).waitFor()
  assert.equal(await page.locator('#source-name').textContent(), 'live')
})

test('a call appears and changes while packets arrive', async () => {
  const packets = call('live-1', { from: '"A" <sip:+4930111@example.org>;tag=a' })
  await send(server.port, packets.slice(0, 4))
  await row(page, '180 ringing').waitFor()
  assert.match(await rows(page).first().textContent(), /\+4930111@example\.org/)
  await send(server.port, packets.slice(4))
  await row(page, '200 completed').waitFor()
  const cells = await rows(page).first().locator('[role=gridcell]').allTextContents()
  assert.deepEqual(cells.slice(1), ['+4930111@example.org', 'bob@example.org', 'INVITE', '200 completed', '2.0s', '10'])
  await page.locator('#legend').getByText('rtcp').waitFor()
  await page.waitForFunction(() => document.querySelector('#chart path').getAttribute('d').length > 0)
  quiet()
})

test('the ladder has the arrows in order, with a shape for each kind', async () => {
  await show(page, 'live-1')
  assert.deepEqual(await labels(page), LABELS)
  assert.deepEqual(await page.locator('#ladder .host').evaluateAll((hosts) => hosts.map((host) => host.lastChild.textContent)), ['10.0.0.1', '10.0.0.2'])
  const arrows = await page.locator('#ladder .arrow').evaluateAll((all) => all.map((arrow) => {
    const shaft = arrow.querySelector('.shaft')
    return {
      kind: arrow.classList[1],
      dashed: shaft !== null && getComputedStyle(shaft).strokeDasharray !== 'none',
      open: arrow.querySelector('.tip.open') !== null,
      again: arrow.classList.contains('again'),
      note: arrow.querySelector('.note') !== null
    }
  }))
  assert.deepEqual(arrows.map(({ kind }) => kind), ['request', 'request', 'response', 'response', 'response', 'request', 'rtcp', 'log', 'request', 'response'])
  for (const { kind, dashed, open: isOpen, note } of arrows) {
    assert.equal(dashed, kind === 'response' || kind === 'rtcp', kind)
    assert.equal(isOpen, kind === 'response', kind)
    assert.equal(note, kind === 'log', kind)
  }
  assert.deepEqual(arrows.map(({ again }) => again), [false, true, ...new Array(8).fill(false)])
  const deltas = await page.locator('#ladder .delta').allTextContents()
  assert.deepEqual(deltas, ['', '+0.500', '+0.020', '+0.080', '+1.400', '+0.010', '+0.090', '+0.100', '+1.800', '+0.010'])
  // Requests point to the right, responses to the left.
  const ends = await page.locator('#ladder .arrow:is(.request, .response) .shaft').evaluateAll((shafts) =>
    shafts.map((shaft) => /M([\d.]+) [\d.]+H([\d.]+)/.exec(shaft.getAttribute('d')).slice(1).map(Number)).map(([from, to]) => to > from))
  assert.deepEqual(ends, [true, true, false, false, false, true, true, false])
})

test('an open call grows', async () => {
  const packets = call('grows')
  await send(server.port, packets.slice(0, 1))
  await show(page, 'grows')
  assert.deepEqual(await labels(page), LABELS.slice(0, 1))
  await send(server.port, packets.slice(1))
  await page.locator('#step-9').waitFor()
  assert.deepEqual(await labels(page), LABELS)
})

test('legs are shown together', async () => {
  const now = Date.now() * 1000
  const leg = (line, from, to, ms) =>
    packet({ time: now + ms * 1000, from, to, payload: sip(line, { id: 'leg-b', more: 'X-Call-ID: leg-a' }) })
  await send(server.port, [
    packet({ time: now, payload: sip('INVITE sip:bob@example.org SIP/2.0', { id: 'leg-a' }) }),
    leg('INVITE sip:bob@10.0.0.3 SIP/2.0', '10.0.0.2', '10.0.0.3', 10),
    leg('SIP/2.0 603 Decline', '10.0.0.3', '10.0.0.2', 20),
    packet({ time: now + 30000, from: '10.0.0.2', to: '10.0.0.1', payload: sip('SIP/2.0 603 Decline', { id: 'leg-a' }) })
  ])
  await row(page, 'alice').first().waitFor()
  await show(page, 'leg-a')
  await page.getByText('1 related call').waitFor()
  await page.locator('#ladder').focus()
  await page.keyboard.press('x')
  await page.locator('#step-3').waitFor()
  assert.deepEqual(await labels(page), ['INVITE', 'INVITE', '603 Decline', '603 Decline'])
  assert.deepEqual(await page.locator('#ladder .leg').allTextContents(), ['A', 'B', 'B', 'A'])
  assert.equal(await page.locator('#ladder .host').count(), 3)
  await page.keyboard.press('x')
  await page.waitForFunction(() => document.querySelectorAll('#ladder .arrow').length === 2)
})

test('the page shows what the download leaves out', async () => {
  assert.ok(!await page.locator('#call-note').isVisible())
  const log = packet({ type: 'log', from: null, to: null, correlation: 'no-address', payload: 'text' })
  await send(server.port, [packet({ payload: sip('INVITE sip:bob@example.org SIP/2.0', { id: 'no-address' }) }), log])
  await show(page, 'no-address')
  await page.getByText('1 packet without addresses not in the pcap').waitFor()
  await show(page, 'leg-a')
  await page.locator('#call-note').waitFor({ state: 'hidden' })
})

test('the filter works while typing', async () => {
  await send(server.port, [
    ...call('filter-one', { to: '<sip:4711@example.org>' }),
    packet({ from: '10.9.9.9', payload: sip('OPTIONS sip:x SIP/2.0', { id: 'filter-two', cseq: '1 OPTIONS' }) })
  ])
  await page.fill('#filter', '')
  await row(page, '4711').waitFor()
  const found = async (text) => {
    await page.fill('#filter', '')
    await page.locator('#filter').pressSequentially(text)
    return rows(page).count()
  }
  assert.equal(await found('4711'), 1)
  assert.equal(await found('FILTER-'), 2)
  assert.equal(await found('filter- options'), 1)
  assert.equal(await found('10.9.9.9'), 1)
  assert.equal(await found('filter- completed bye'), 1)
  assert.equal(await found('nothing of that kind'), 0)
  await page.getByText(/^None of \d+ calls matches/).waitFor()
  await page.keyboard.press('Escape')
  assert.equal(await page.inputValue('#filter'), '')
  assert.equal(await focused(), 'list')
  assert.ok(await rows(page).count() > 3)
})

test('keys', async () => {
  await page.fill('#filter', '')
  await page.locator('#list').focus()
  await page.keyboard.press('Home')
  const selected = () => page.locator('#rows [aria-selected=true]').getAttribute('aria-rowindex')
  assert.equal(await selected(), '2')
  await page.keyboard.press('ArrowDown')
  assert.equal(await selected(), '3')
  await page.keyboard.press('k')
  assert.equal(await selected(), '2')
  await page.keyboard.press('/')
  assert.equal(await focused(), 'filter')
  await page.keyboard.type('live-1')
  await page.keyboard.press('Enter')
  assert.equal(await focused(), 'list')
  await page.locator('#step-9').waitFor()
  await page.keyboard.press('Enter')
  assert.equal(await focused(), 'ladder')
  await page.keyboard.press('ArrowDown')
  await page.keyboard.press('ArrowDown')
  assert.equal(await page.locator('#ladder [aria-selected=true]').getAttribute('id'), 'step-2')
  await page.locator('#content').getByText('SIP/2.0 100 Trying').waitFor()
  await page.keyboard.press('Enter')
  assert.equal(await focused(), 'content')
  await page.keyboard.press('Escape')
  assert.equal(await focused(), 'ladder')
  await page.keyboard.press('Escape')
  assert.equal(await focused(), 'list')
  await page.keyboard.press('?')
  assert.ok(await page.locator('#keys').isVisible())
  await page.keyboard.press('Escape')
  assert.ok(!await page.locator('#keys').isVisible())
  await page.keyboard.press('Escape')
  assert.equal(await page.inputValue('#filter'), '')
})

test('a click shows the message with its HEP fields', async () => {
  await show(page, 'live-1')
  await page.locator('#step-7 .label').click()
  await page.locator('#content pre').getByText('NOTICE: the call is up').waitFor()
  const facts = Object.fromEntries(await page.locator('.facts div').evaluateAll((all) => all.map((fact) => [fact.children[0].textContent, fact.children[1].textContent])))
  assert.equal(facts['capture id'], '7')
  assert.equal(facts['correlation id'], 'live-1')
  assert.equal(facts.from, '10.0.0.1:5060')
  assert.equal(facts.payload, 'log')
  assert.match(facts['sent by'], /^127\.0\.0\.1:\d+ udp$/)
  await page.locator('#step-0 .label').click()
  await page.locator('#content pre.sip').getByText('INVITE sip:bob@example.org SIP/2.0').waitFor()
})

const download = async (key) => {
  const [file] = await Promise.all([page.waitForEvent('download'), page.keyboard.press(key)])
  return file.path()
}

test('downloads are read by tshark and as JSON', async () => {
  await show(page, 'live-1')
  await page.locator('#list').focus()
  const pcap = await download('s')
  const json = JSON.parse(await readFile(await download('S'), 'utf8'))
  assert.equal(json.length, 10)
  assert.equal(json[0].correlationId, undefined)
  assert.equal(json[7].correlationId, 'live-1')
  const fields = execFileSync('tshark', ['-r', pcap, '-Y', 'sip', '-T', 'fields', '-e', 'sip.Method', '-e', 'sip.Status-Code', '-e', 'ip.src'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  assert.deepEqual(fields.trim().split('\n').map((line) => line.trim().split('\t')), [
    ['INVITE', '', '10.0.0.1'], ['INVITE', '', '10.0.0.1'], ['100', '10.0.0.2'], ['180', '10.0.0.2'], ['200', '10.0.0.2'],
    ['ACK', '', '10.0.0.1'], ['BYE', '', '10.0.0.1'], ['200', '10.0.0.2']
  ])
})

const drop = async (name, content) => {
  const transfer = await page.evaluateHandle(([file, base64]) => {
    const all = new DataTransfer()
    all.items.add(new File([Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))], file))
    return all
  }, [name, content.toString('base64')])
  await page.dispatchEvent('body', 'drop', { dataTransfer: transfer })
}

test('a dropped file is shown separately from the live calls', async () => {
  await page.fill('#filter', '')
  const content = await readFile(`${FIXTURES}/pcap/mergecap.pcapng`)
  await drop('calls <b>.pcapng', content)
  await page.locator('#source-name').getByText('calls <b>.pcapng').waitFor()
  await row(page, 'OPTIONS').first().waitFor()
  assert.equal(await row(page, '+4930111').count(), 0)
  await rows(page).first().click()
  await page.locator('#step-0').waitFor()
  await page.locator('#content pre').waitFor()
  await page.getByText('Back to live').click()
  await row(page, '+4930111').waitFor()
  assert.equal(await page.locator('#source-name').textContent(), 'live')
})

test('a truncated file shows the calls before its end', async () => {
  const content = await readFile(`${FIXTURES}/pcap/mergecap.pcapng`)
  await drop('cut.pcapng', content.subarray(0, content.length - 40))
  await page.locator('#alert').getByText(/cut\.pcapng: \d+ packets?, then offset \d+: the file is truncated here/).waitFor()
  await row(page, 'OPTIONS').first().waitFor()
  const invalid = Buffer.from(content)
  invalid.write('HEP3\xff\xff', invalid.indexOf('OPTIONS'), 'latin1')
  await drop('invalid.pcap', invalid)
  await page.locator('#alert').getByText('invalid.pcap: 2 packets, 1 invalid HEP packet.').waitFor()
  await drop('no.pcap', Buffer.from('This is no capture file.'))
  await page.locator('#alert').getByText('not a capture file').waitFor()
  await page.getByText('The file has neither HEP nor SIP.').waitFor()
  await page.getByText('Back to live').click()
  await row(page, '+4930111').waitFor()
  assert.ok(!await page.locator('#alert').isVisible())
})

test('a restart of a listener has no effect on the page', async () => {
  server.kill('call_flow_listener_1')
  await page.fill('#filter', 'after-restart')
  for (let tries = 0; tries < 50 && await rows(page).count() === 0; tries++) {
    await send(server.port, call('after-restart').slice(0, 1))
    await page.waitForTimeout(200)
  }
  await row(page, 'INVITE').waitFor()
  assert.ok(!await page.locator('#alert').isVisible())
})

test('a restart of the store empties the list', async () => {
  server.kill('call_flow_store')
  await page.fill('#filter', '')
  await page.getByText('No packets yet').waitFor()
  await send(server.port, call('after-store'))
  await row(page, '200 completed').waitFor()
})

test('a long list has few elements', async () => {
  const invite = (n) => packet({ payload: sip(`INVITE sip:${n}@example.org SIP/2.0`, { id: `many-${n}`, to: `<sip:${n}@example.org>` }) })
  await send(server.port, Array.from({ length: 3000 }, (_, n) => invite(n)))
  await page.waitForFunction(() => Number(document.getElementById('list').getAttribute('aria-rowcount')) === 3002)
  await page.locator('#list').focus()
  await page.keyboard.press('End')
  await row(page, '200 completed').waitFor()
  assert.ok(await rows(page).count() < 80)
  // A scrolled list keeps its position while calls arrive.
  const before = await page.locator('#list').evaluate((list) => list.scrollTop)
  await send(server.port, call('one-more'))
  await page.waitForFunction(() => Number(document.getElementById('list').getAttribute('aria-rowcount')) === 3003)
  const height = await page.locator('#list').evaluate((list) => parseFloat(getComputedStyle(list).getPropertyValue('--row')))
  assert.equal(await page.locator('#list').evaluate((list) => list.scrollTop), before + height)
  await page.fill('#filter', 'many-2999')
  assert.equal(await rows(page).count(), 1)
})

test('promtool reads the metrics', async () => {
  const text = await (await fetch(`${server.url}/metrics`)).text()
  assert.match(text, /^call_flow_packets_total\{version="3"\} \d+$/m)
  assert.match(text, /^call_flow_sip_responses_total\{class="2xx"\} \d+$/m)
  execFileSync('promtool', ['check', 'metrics'], { input: text })
})

test('an unreachable server is reported, and found again', async () => {
  await page.fill('#filter', '')
  const { port, url } = server
  await server.stop()
  await page.locator('#alert').getByText('The server does not answer.').waitFor()
  assert.equal(await page.locator('#source-name').textContent(), 'disconnected')
  server = await start({ PORT: String(port), HTTP_PORT: new URL(url).port })
  await page.locator('#source-name').getByText('live').waitFor()
  assert.ok(!await page.locator('#alert').isVisible())
  await send(server.port, call('back-again'))
  await row(page, '200 completed').waitFor()
  assert.equal(await rows(page).count(), 1)
})

test('nothing was loaded from other servers', () => {
  assert.deepEqual([...page.hosts], [new URL(server.url).host])
})
