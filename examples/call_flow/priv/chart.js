// Packets per second of the last two minutes, stacked by type or by sender.

import { h, svg, line } from './dom.js'
import { count } from './format.js'

const HEIGHT = 44
const SERIES = 6

const sum = (values) => values.reduce((total, value) => total + value, 0)

const add = (a, b) => a.map((value, index) => value + b[index])

// The busiest series, and the sum of the others.
const ranked = (series) => {
  const all = Object.entries(series).sort(([a, x], [b, y]) => sum(y) - sum(x) || a.localeCompare(b))
  const rest = all.slice(SERIES)
  if (rest.length === 0) return all
  return [...all.slice(0, SERIES), [`${rest.length} others`, rest.map(([, values]) => values).reduce(add)]]
}

// The next round number.
const ceiling = (value) => {
  const power = 10 ** Math.floor(Math.log10(Math.max(1, value)))
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((step) => step * power).find((step) => step >= value)
}

const bars = (series, seconds, most) => {
  const base = new Array(seconds).fill(0)
  return series.map(([, values], index) => {
    let d = ''
    values.forEach((value, second) => {
      if (value === 0) return
      const top = base[second] + value
      d += `M${second} ${HEIGHT - (top / most) * HEIGHT}h0.9V${HEIGHT - (base[second] / most) * HEIGHT}h-0.9z`
      base[second] = top
    })
    return svg('path', { class: `series-${index}`, d })
  })
}

export const draw = (rates, by, chart, legend) => {
  const series = ranked(rates[by])
  const seconds = series[0]?.[1].length ?? 120
  const totals = series.map(([, values]) => values).reduce(add, new Array(seconds).fill(0))
  const most = ceiling(Math.max(1, ...totals))
  const now = totals[totals.length - 1] ?? 0
  chart.replaceChildren(
    h('span', { class: 'most', 'aria-hidden': true }, `${count(most)}/s`),
    svg('svg', {
      viewBox: `0 0 ${seconds} ${HEIGHT}`,
      preserveAspectRatio: 'none',
      role: 'img',
      'aria-label': `Packets per second of the last two minutes: now ${now}, at most ${Math.max(...totals)}`
    }, ...bars(series, seconds, most)),
    h('span', { class: 'ago', 'aria-hidden': true }, '−2 min'),
    h('span', { class: 'now', 'aria-hidden': true }, 'now')
  )
  legend.replaceChildren(...series.map(([name, values], index) =>
    h('li', {}, h('i', { class: `series-${index}`, 'aria-hidden': true }), h('span', {}, line(name)), h('b', {}, count(values[values.length - 1])))))
  return now
}
