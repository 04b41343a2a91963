// Times are microseconds since the epoch.

const two = (number) => String(number).padStart(2, '0')

const clock = (date) => `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`

const day = (date) => `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`

export const time = (micros) => {
  if (micros === null || micros === undefined) return '–'
  return clock(new Date(micros / 1000))
}

// With the day, unless it is today.
export const listTime = (micros) => {
  if (micros === null || micros === undefined) return '–'
  const date = new Date(micros / 1000)
  const date8 = day(date)
  return date8 === day(new Date()) ? clock(date) : `${date8.slice(2)} ${clock(date)}`
}

export const preciseTime = (micros) => {
  if (micros === null || micros === undefined) return '–'
  return `${time(micros)}.${String(Math.floor(micros / 1000) % 1000).padStart(3, '0')}`
}

export const fullTime = (micros) => {
  if (micros === null || micros === undefined) return 'none'
  const date = new Date(micros / 1000)
  return `${day(date)} ${clock(date)}.${String(micros % 1000000).padStart(6, '0')}`
}

export const duration = (micros) => {
  if (micros === null || micros === undefined) return ''
  const seconds = Math.floor(micros / 1e6)
  if (seconds < 60) return `${(micros / 1e6).toFixed(1)}s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes}:${two(seconds % 60)}`
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(seconds % 60)}`
}

export const delta = (micros) => {
  const seconds = Math.abs(micros) / 1e6
  const sign = micros < 0 ? '−' : '+'
  if (seconds < 100) return `${sign}${seconds.toFixed(3)}`
  if (seconds < 10000) return `${sign}${seconds.toFixed(1)}`
  return `${sign}${Math.round(seconds)}`
}

const number = new Intl.NumberFormat('en')

export const count = (value) => number.format(value)

export const bytes = (value) => {
  if (value < 1024) return `${value} B`
  if (value < 1048576) return `${(value / 1024).toFixed(1)} KiB`
  return `${(value / 1048576).toFixed(1)} MiB`
}
