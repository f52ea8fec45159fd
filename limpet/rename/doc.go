// Package rename gives names other names on a link, by their prefixes: what lies at or
// below $.Plant here may lie at or below $.Site7.Plant at the peer. It is pure.
//
// A Map goes both ways, and there and back is always the name one began with: a name that
// would become one which another name has already, or too long for a bus, has none at the
// other end, and cannot cross. Names below $.KBUS are the buses' own and stay as they are.
//
// Wildcards are translated to what matches at least as much. Where that is more, because
// the wildcard stands above a prefix, the messages that it brings have no name here, and are
// refused one by one.
package rename
