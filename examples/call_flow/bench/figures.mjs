// Figures of server and page: 10,000 calls in memory, 2,000 packets a second, and 0, 1 and 10 pages open.
// Usage: sh test/page/run.sh bench [SECONDS [RATE]]

import { readFile } from 'node:fs/promises'
import { call, send } from '../test/page/hep.mjs'
import { browser, open, start } from '../test/page/server.mjs'

const SECONDS = Number(process.argv[2] ?? 20)
const RATE = Number(process.argv[3] ?? 2000)
const TICK = 10

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// CPU seconds and bytes of a process.
const usage = async (pid) => {
  const stat = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1].split(' ')
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return { cpu: (Number(stat[11]) + Number(stat[12])) / 100, memory: Number(/VmRSS:\s+(\d+)/.exec(status)[1]) * 1024 }
}

const metrics = async (url) => {
  const text = await (await fetch(`${url}/metrics`)).text()
  const sum = (name) => text.split('\n').filter((line) => line.startsWith(name)).reduce((total, line) => total + Number(line.split(' ').pop()), 0)
  return { received: sum('call_flow_received_total'), dropped: sum('call_flow_kernel_dropped_total') + sum('call_flow_queue_dropped_total') }
}

// Calls of ten packets, so that a tenth of the rate begins and ends a second.
const traffic = async (port, seconds) => {
  const began = Date.now()
  let sent = 0
  let packets = []
  let number = 0
  while (Date.now() - began < seconds * 1000) {
    const due = Math.floor(((Date.now() - began) / 1000) * RATE)
    while (packets.length < due - sent) packets = packets.concat(call(`load-${began}-${number++}`))
    const now = packets.slice(0, due - sent)
    packets = packets.slice(now.length)
    await send(port, now, 0)
    sent += now.length
    await sleep(TICK)
  }
  return sent
}

const pageFigures = async (page) => {
  if (!page.client) {
    page.client = await page.context().newCDPSession(page)
    await page.client.send('Performance.enable')
  }
  const { metrics: all } = await page.client.send('Performance.getMetrics')
  const value = (name) => all.find((metric) => metric.name === name).value
  return { cpu: value('TaskDuration'), heap: value('JSHeapUsedSize'), nodes: value('Nodes') }
}

const percent = (seconds) => `${((100 * seconds) / SECONDS).toFixed(0)} %`

const mebibytes = (bytes) => `${(bytes / 1048576).toFixed(0)} MiB`

const server = await start()
const chrome = await browser()
console.log('10,000 calls of 10 packets')
for (let n = 0; n < 10000; n += 100) {
  await send(server.port, Array.from({ length: 100 }, (_, i) => call(`fill-${n + i}`)).flat())
}
await sleep(1500)
console.log(`  server: ${mebibytes((await usage(server.pid)).memory)}, ${JSON.stringify(await metrics(server.url))}`)

const pages = []
for (const count of [0, 1, 10]) {
  while (pages.length < count) {
    const began = performance.now()
    const page = await open(chrome, server.url)
    await page.locator('#rows [role=row]').first().waitFor()
    const first = performance.now() - began
    await page.waitForFunction(() => Number(document.getElementById('list').getAttribute('aria-rowcount')) > 10000)
    if (pages.length === 0) console.log(`  page: first calls after ${first.toFixed(0)} ms, all of them after ${(performance.now() - began).toFixed(0)} ms`)
    await page.locator('#rows [role=row]').first().click()
    pages.push(page)
  }
  const before = { usage: await usage(server.pid), metrics: await metrics(server.url), pages: await Promise.all(pages.map(pageFigures)) }
  const sent = await traffic(server.port, SECONDS)
  await sleep(1500)
  const after = { usage: await usage(server.pid), metrics: await metrics(server.url), pages: await Promise.all(pages.map(pageFigures)) }
  console.log(`${count} pages, ${(sent / SECONDS).toFixed(0)} packets/s`)
  console.log(`  received ${after.metrics.received - before.metrics.received} of ${sent}, dropped ${after.metrics.dropped - before.metrics.dropped}`)
  console.log(`  server: ${percent(after.usage.cpu - before.usage.cpu)} of a core, ${mebibytes(after.usage.memory)}`)
  if (count > 0) {
    const cpu = after.pages.map((page, index) => page.cpu - before.pages[index].cpu)
    console.log(`  a page: ${percent(Math.max(...cpu))} of a core, heap ${mebibytes(after.pages[0].heap)}, ${after.pages[0].nodes} nodes`)
  }
}
await chrome.close()
await server.stop()
