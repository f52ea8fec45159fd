import {Table} from './dom.js';

// maxRecords bounds how many records are shown; the latest stay.
const maxRecords = 200;

// Records is a table of what comes in a stream, the latest first. It is drawn a few times a
// second at most, however much comes.
export class Records {
  constructor(parent, caption, columns, empty) {
    this.table = new Table(parent, caption, columns, empty);
    this.rows = [];
    this.last = 0;
    this.clear();
  }

  // add adds rows of cells, in the order in which they came.
  add(rows) {
    for (const cells of rows.slice(-maxRecords)) this.rows.unshift({key: ++this.last, cells});
    this.rows.length = Math.min(this.rows.length, maxRecords);
    this.timer ??= setTimeout(() => {
      this.timer = undefined;
      this.table.show(this.rows);
    }, 250);
  }

  clear() {
    this.rows = [];
    this.table.show(this.rows);
  }
}
