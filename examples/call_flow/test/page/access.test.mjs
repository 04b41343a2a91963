// Hostile text, the policy, the token, accessibility, and narrow screens.

import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { after, before, test } from 'node:test'
import { call, packet, send, sip } from './hep.mjs'
import { browser, open, row, rows, show, start } from './server.mjs'

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const TOKEN = 'correct horse battery'
const PWN = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script><svg onload=window.pwned=1>'

let server
let chrome

before(async () => {
  server = await start()
  chrome = await browser()
})

after(async () => {
  await chrome?.close()
  await server?.stop()
})

const closed = async (page) => page.context().close()

test('text from the wire is text', async () => {
  const page = await open(chrome, server.url)
  const id = `evil-${PWN}`
  const headers = { id, from: `"${PWN}" <sip:${encodeURI('x')}${PWN.replace(/[ >]/g, '')}@h>;tag=1`, to: '<sip:\u202egro.elpmaxe@h>' }
  await send(server.port, [
    packet({ correlation: PWN, payload: sip(`INVITE sip:${PWN.replace(/ /g, '')} SIP/2.0`, headers) }),
    packet({ from: '10.0.0.2', to: '10.0.0.1', payload: sip(`SIP/2.0 400 ${PWN}`, headers) }),
    packet({ type: 'log', correlation: id, payload: `${PWN}\u0000\u001b[31m` }),
    packet({ type: 'rtcp', correlation: id, payload: Buffer.from([0xff, 0xfe, 0x3c, 0x62, 0x3e]) })
  ])
  await page.fill('#filter', 'evil-')
  await row(page, '400').waitFor()
  assert.match(await rows(page).first().textContent(), /<U\+202E>gro/)
  await show(page, 'evil-')
  const count = await page.locator('#ladder [role=option]').count()
  assert.equal(count, 4)
  for (let index = 0; index < count; index++) {
    await page.locator(`#step-${index} .label`).click()
    await page.waitForTimeout(150)
  }
  const texts = await page.locator('#ladder').textContent()
  assert.ok(texts.includes('<img src=x'))
  assert.equal(await page.evaluate(() => window.pwned), undefined)
  assert.equal(await page.locator('main :is(script, img, iframe, object, style, svg[onload])').count(), 0)
  assert.deepEqual(page.problems, [])
  await closed(page)
})

test('the policy is enforced', async () => {
  const page = await open(chrome, server.url)
  const outcome = await page.evaluate(async () => {
    const violations = []
    document.addEventListener('securitypolicyviolation', (event) => violations.push(event.violatedDirective))
    let html = 'allowed'
    try {
      document.body.insertAdjacentHTML('beforeend', '<b>x</b>')
    } catch {
      html = 'refused'
    }
    const image = new Image()
    image.src = 'http://127.0.0.1:9/x.png'
    document.body.append(image)
    const style = document.createElement('style')
    style.textContent = 'body { color: red }'
    document.head.append(style)
    await fetch('http://127.0.0.1:9/').catch(() => {})
    await new Promise((resolve) => setTimeout(resolve, 300))
    return { violations, html }
  })
  assert.equal(outcome.html, 'refused')
  for (const directive of ['img-src', 'style-src-elem', 'connect-src']) assert.ok(outcome.violations.includes(directive), directive)
  await closed(page)
})

test('a token is asked for', async () => {
  const guarded = await start({ HTTP_TOKEN: TOKEN })
  try {
    await send(guarded.port, call('guarded'))
    const page = await open(chrome, guarded.url)
    await page.locator('#login').waitFor()
    assert.equal(await rows(page).count(), 0)
    await page.fill('#token', 'wrong')
    await page.keyboard.press('Enter')
    await page.getByText('this is not the token').waitFor()
    await page.fill('#token', TOKEN)
    await page.keyboard.press('Enter')
    await row(page, '200 completed').waitFor()
    await closed(page)
    // A link with the token opens the page, and does not stay in the address.
    const linked = await open(chrome, `${guarded.url}/#token=${encodeURIComponent(TOKEN)}`)
    await row(linked, '200 completed').waitFor()
    assert.ok(!linked.url().includes('token'))
    await closed(linked)
  } finally {
    await guarded.stop()
  }
})

// axe is evaluated by the debugger, which no policy of the page concerns.
const violations = async (page) => {
  await page.evaluate(axe)
  const { violations: found } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }))
  return found.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).slice(0, 3)}`)
}

for (const colorScheme of ['light', 'dark']) {
  test(`accessible, ${colorScheme}`, async () => {
    const page = await open(chrome, server.url, { colorScheme, bypassCSP: true })
    await send(server.port, [
      ...call(`axe-${colorScheme}`),
      packet({ from: '10.0.0.2', to: '10.0.0.1', payload: sip('SIP/2.0 404 Not Found', { id: `axe-${colorScheme}`, cseq: '3 INFO' }) })
    ])
    await show(page, `axe-${colorScheme}`)
    await page.locator('#content pre').waitFor()
    assert.deepEqual(await violations(page), [])
    await page.keyboard.press('Escape')
    await page.locator('#help').click()
    assert.deepEqual(await violations(page), [])
    await page.keyboard.press('Escape')
    await page.fill('#filter', 'nothing')
    assert.deepEqual(await violations(page), [])
    await closed(page)
  })
}

test('on a phone one pane is visible', async () => {
  await send(server.port, call('phone'))
  const page = await open(chrome, server.url, { viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true })
  await page.fill('#filter', 'phone')
  const visible = async () => {
    const panes = []
    for (const id of ['calls', 'flow', 'message']) if (await page.locator(`#${id}`).isVisible()) panes.push(id)
    return panes
  }
  assert.deepEqual(await visible(), ['calls'])
  await rows(page).first().tap()
  assert.deepEqual(await visible(), ['flow'])
  await page.locator('#step-2 .label').tap()
  assert.deepEqual(await visible(), ['message'])
  await page.locator('#content').getByText('SIP/2.0 100 Trying').waitFor()
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth))
  await page.locator('#message .back').tap()
  assert.deepEqual(await visible(), ['flow'])
  await page.locator('#flow .back').tap()
  assert.deepEqual(await visible(), ['calls'])
  await closed(page)
})
