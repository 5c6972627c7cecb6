//! Nothing: see benches/.
