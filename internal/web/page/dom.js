// Everything shown is put in as text: there is nothing here that makes HTML.

// printable shows what would change how text is shown, as Go writes it.
export function printable(text) {
  return String(text ?? '').replace(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}\u2028\u2029]/gu, (c) => '\\u{' + c.codePointAt(0).toString(16) + '}');
}

function fill(node, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false && value !== undefined) node.setAttribute(name, value);
  }
  for (const child of children.flat()) {
    if (child === undefined || child === null) continue;
    node.append(child instanceof Node ? child : printable(child));
  }
  return node;
}

// el makes an element. Children are nodes, or text.
export function el(tag, properties, ...children) {
  return fill(document.createElement(tag), properties, children);
}

// svg is el for drawings.
export function svg(tag, properties, ...children) {
  return fill(document.createElementNS('http://www.w3.org/2000/svg', tag), properties, children);
}

export const byId = (id) => document.getElementById(id);

// setText changes what a node says, if it is something else.
export function setText(node, text) {
  const shown = printable(text);
  if (node.textContent !== shown) node.textContent = shown;
}

// A Table has rows with keys, which stay where they are when their text changes, so that neither
// the focus nor a reader's place is lost. columns are {title, number, mono}; the first one is
// the row's head.
export class Table {
  constructor(parent, caption, columns, empty) {
    this.columns = columns;
    this.rows = new Map();
    this.caption = el('caption', {}, caption);
    this.body = el('tbody');
    this.empty = el('p', {class: 'soft', hidden: true}, empty);
    parent.append(el('div', {class: 'scroll', tabindex: '0', role: 'region', 'aria-label': caption},
      el('table', {}, this.caption,
        el('thead', {}, el('tr', {}, columns.map((c) => el('th', {scope: 'col', class: c.number ? 'number' : undefined}, c.title)))),
        this.body)), this.empty);
  }

  // show has the table show rows, {key, cells}, in their order. A cell is text, {text, class}, or
  // a function that makes a node, which is called once for the row.
  show(rows) {
    const gone = new Set(this.rows.keys());
    let before = this.body.firstChild;
    for (const row of rows) {
      gone.delete(row.key);
      let tr = this.rows.get(row.key);
      if (!tr) {
        tr = el('tr', {}, this.columns.map((c, i) => i === 0 ? el('th', {scope: 'row'}) : el('td')));
        row.cells.forEach((cell, i) => {
          if (typeof cell === 'function') tr.children[i].append(cell() ?? '');
        });
        this.rows.set(row.key, tr);
      }
      row.cells.forEach((cell, i) => {
        if (typeof cell === 'function') return;
        const td = tr.children[i];
        const c = this.columns[i];
        const named = [c.number && 'number', c.mono && 'mono', cell?.class].filter(Boolean).join(' ');
        if (td.className !== named) td.className = named;
        setText(td, cell?.text ?? (typeof cell === 'object' ? '' : cell));
      });
      if (tr === before) before = before.nextSibling;
      else this.body.insertBefore(tr, before);
    }
    for (const key of gone) {
      this.rows.get(key).remove();
      this.rows.delete(key);
    }
    this.empty.hidden = rows.length > 0;
  }
}

// say tells those who do not see the page what has changed.
export function say(text) {
  setText(byId('said'), text);
}

// confirm asks whether to do something, and returns whether it is to be done.
export function confirm(title, text, deed) {
  const dialog = byId('confirm');
  setText(byId('confirm-title'), title);
  setText(byId('confirm-text'), text);
  const [no, yes] = dialog.querySelectorAll('button');
  setText(yes, deed);
  dialog.returnValue = 'no';
  return new Promise((resolve) => {
    no.onclick = () => dialog.close('no');
    yes.onclick = () => dialog.close('yes');
    dialog.onclose = () => resolve(dialog.returnValue === 'yes');
    dialog.showModal();
    no.focus();
  });
}
