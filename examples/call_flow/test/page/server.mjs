// Starts the server, as run.sh has compiled it, and a browser.

import { spawn } from 'node:child_process'
import dgram from 'node:dgram'
import { createInterface } from 'node:readline'
import { chromium } from 'playwright-core'

const { EBIN, CHROMIUM } = process.env

// Each line of input kills a process of that name.
const PROGRAM = `
  logger:set_primary_config(level, none),
  case application:ensure_all_started(call_flow) of
    {ok, _} -> ok;
    Error -> io:format("~p~n", [Error]), halt(1)
  end,
  io:format("ready ~b ~s~n", [call_flow:port(), call_flow:url()]),
  Loop = fun Loop() ->
    case io:get_line("") of
      eof -> halt(0);
      Line -> exit(whereis(list_to_existing_atom(string:trim(Line))), kill), Loop()
    end
  end,
  Loop().`

// A fixed port: a killed listener opens the one of its options again.
const free = () => new Promise((resolve) => {
  const socket = dgram.createSocket('udp4').bind(0, '127.0.0.1', () => {
    const { port } = socket.address()
    socket.close(() => resolve(String(port)))
  })
})

export const start = async (variables = {}) => {
  const env = { ...process.env, PORT: await free(), HTTP_PORT: '0', ...variables }
  const paths = EBIN.split(':').flatMap((folder) => ['-pa', folder])
  const child = spawn('erl', ['-noshell', ...paths, '-eval', PROGRAM], { env, stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })
  const ready = await new Promise((resolve, reject) => {
    lines.on('line', (line) => (line.startsWith('ready ') ? resolve(line) : console.error(line)))
    child.on('exit', (code) => reject(new Error(`the server ended with ${code}`)))
  })
  const [, port, url] = ready.split(' ')
  return {
    port: Number(port),
    url,
    pid: child.pid,
    kill: (name) => child.stdin.write(`${name}\n`),
    stop: () => new Promise((resolve) => {
      child.removeAllListeners('exit')
      child.on('exit', resolve)
      child.stdin.end()
    })
  }
}

export const browser = () => chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage'] })

// A page that remembers its errors and where it sent requests.
export const open = async (chrome, url, options = {}) => {
  const context = await chrome.newContext({ viewport: { width: 1280, height: 800 }, acceptDownloads: true, ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(10000)
  page.problems = []
  page.hosts = new Set()
  page.on('pageerror', (error) => page.problems.push(error.message))
  page.on('console', (message) => message.type() === 'error' && page.problems.push(message.text()))
  page.on('request', (request) => page.hosts.add(new URL(request.url()).host))
  await page.goto(url)
  return page
}

export const rows = (page) => page.locator('#rows [role=row]')

export const row = (page, text) => rows(page).filter({ hasText: text })

// Shows only the calls with that part of a Call-ID, and selects the first.
export const show = async (page, text) => {
  await page.fill('#filter', text)
  await rows(page).first().click()
  // The ladder of the call before stays until the answer has come.
  await page.locator('#call-title .key', { hasText: text }).waitFor()
  await page.locator('#ladder [role=option]').first().waitFor()
}

export const labels = (page) => page.locator('#ladder .label').allTextContents()
