//! What may be spent.

use ferroce_instructions::{BATCH, MTU, Request};

/// How many instructions something may cost, of both engines together.
pub(crate) struct Budget {
    pub(crate) name: &'static str,
    pub(crate) request: Request,
    /// Bytes of a message.
    pub(crate) len: u32,
    /// Whether packets have ICRCs; those that go through shared memory have none.
    pub(crate) sealed: bool,
    /// Instructions per message, or per packet where a message has several.
    pub(crate) most: u64,
}

/// What was counted (rustc 1.95, glibc 2.36, valgrind 3.19) and 6 % for other compilers and libraries.
pub(crate) const BUDGETS: [Budget; 8] = {
    use Request::{Read, Send, Write};
    const MIB: u32 = 1 << 20;
    [
        Budget { name: "WRITE of 8 bytes", request: Write, len: 8, sealed: true, most: 4370 },
        Budget { name: "SEND of 8 bytes", request: Send, len: 8, sealed: true, most: 4590 },
        Budget { name: "packet of a WRITE of 1 MiB", request: Write, len: MIB, sealed: true, most: 7930 },
        Budget { name: "packet of a READ of 1 MiB", request: Read, len: MIB, sealed: true, most: 7670 },
        Budget { name: "WRITE of 8 bytes, no ICRC", request: Write, len: 8, sealed: false, most: 3710 },
        Budget { name: "SEND of 8 bytes, no ICRC", request: Send, len: 8, sealed: false, most: 4000 },
        Budget {
            name: "packet of a WRITE of 1 MiB, no ICRC",
            request: Write,
            len: MIB,
            sealed: false,
            most: 3440,
        },
        Budget {
            name: "packet of a READ of 1 MiB, no ICRC",
            request: Read,
            len: MIB,
            sealed: false,
            most: 3160,
        },
    ]
};

impl Budget {
    /// [Batches](BATCH) of messages that are counted.
    pub(crate) fn batches(&self) -> u32 {
        if self.len > MTU { 1 } else { 100 }
    }

    /// Messages, or packets, in them.
    pub(crate) fn units(&self) -> u64 {
        u64::from(self.batches() * BATCH * self.len.div_ceil(MTU))
    }
}
