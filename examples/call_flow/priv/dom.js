// Elements. Text becomes a text node or an attribute only: nothing from the wire is markup.

const SVG = 'http://www.w3.org/2000/svg'

const fill = (element, attributes, children) => {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== undefined && value !== null && value !== false) element.setAttribute(name, value)
  }
  element.append(...children.filter((child) => child !== null && child !== undefined))
  return element
}

export const h = (name, attributes = {}, ...children) => fill(document.createElement(name), attributes, children)

export const svg = (name, attributes = {}, ...children) => fill(document.createElementNS(SVG, name), attributes, children)

export const $ = (id) => document.getElementById(id)

// Characters that would hide or reorder text: controls, zero width, direction.
const HIDDEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g

const visible = (character) => {
  const code = character.codePointAt(0)
  if (code < 0x20) return String.fromCharCode(0x2400 + code)
  return `<U+${code.toString(16).toUpperCase().padStart(4, '0')}>`
}

// Text of several lines.
export const shown = (text) => text.replace(/\r\n/g, '\n').replace(HIDDEN, visible)

// Text of one line.
export const line = (text) => (text === null || text === undefined ? '' : shown(String(text)).replace(/[\n\t]/g, '␤'))
