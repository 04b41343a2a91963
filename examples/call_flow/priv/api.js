// Requests to the server.

export class Failure extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

const TIMEOUT = 15000
const PART = 200000

const request = async (path, options = {}) => {
  let answer
  try {
    answer = await fetch(path, { signal: AbortSignal.timeout(TIMEOUT), ...options })
  } catch {
    throw new Failure(0, 'The server does not answer.')
  }
  let body
  try {
    body = await answer.json()
  } catch {
    throw new Failure(answer.ok ? 0 : answer.status, `The server answered ${answer.status}.`)
  }
  if (!answer.ok) throw new Failure(answer.status, body.error)
  return body
}

const query = (values) => new URLSearchParams(values).toString()

export const state = (source, epoch, since) => request(`/api/state?${query({ source, epoch, since })}`)

export const callPath = (source, id, related, form = '') =>
  `/api/call/${id}${form}?${query({ source, related: related ? 1 : 0 })}`

export const call = (source, id, related) => request(callPath(source, id, related))

export const message = (source, id, number) => request(`/api/message/${id}/${number}?${query({ source })}`)

export const login = (token) => request('/api/login', { method: 'POST', body: token })

const post = (path, body) => request(path, { method: 'POST', body, headers: { 'X-Call-Flow': '1' } })

// Sends a file in parts, since the server takes no large bodies. Returns the source of its calls.
export const upload = async (file, progress) => {
  const { source } = await post(`/api/upload?${query({ name: file.name, bytes: file.size })}`, '')
  for (let offset = 0; offset < file.size; offset += PART) {
    progress(offset / file.size)
    await post(`/api/upload/${source}?${query({ offset })}`, await file.slice(offset, offset + PART).arrayBuffer())
  }
  return source
}
