// Package client is the other end of pollbridge: it follows documents that a
// server pushes, and holds them whole.
//
// [Watch] is what most programs want: one URL, a loop, each round the whole
// document, for as long as the program runs. [Dial] is the connection below
// it, with any number of subscriptions and every message as it comes. [Apply]
// and [ApplyMerge] are below both, and good for their own sake: patches on
// JSON text.
//
// # Why a loop
//
// A watch is a sequence, and all of it happens in the goroutine that ranges
// over it: there is no callback to be called at the wrong time, nothing to
// close, and nothing left behind when the loop is left. What looks like a
// limitation is the point: while the body of the loop is busy nothing is read,
// so once the connection's buffers are full the server sees a slow client, and
// keeps for it not a queue but the newest state. A program that is too slow for
// its feed skips states, and Options.Throttle has it skip them from the start.
//
// # What is held is true
//
// A document is taken from the server as text and stays text. A patch is
// applied to that text, and what it does not touch remains byte for byte what
// the upstream wrote: 9007199254740993 does not become ...992, 5400.0 does not
// become 5400. A patch names the version that it applies to, and is applied to
// no other; when it does not fit for whatever reason, the whole document is
// asked for. So each update is a document that the upstream really gave, in the
// order in which it gave them, and the last one always comes.
//
// What is not known is said: Stale is set while the upstream can not be read,
// or the server can not be reached, and Since tells since when.
package client
