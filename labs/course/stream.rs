//! Sockets over RDMA, for the labs. Read this file; the check uses its own copy, so changing it changes nothing.
//!
//! Real ones are the rsockets of librdmacm: `rsocket`, `rbind`, `rlisten`, `raccept`, `rconnect`, `rsend`, `rrecv`. They
//! look like those of the system, and a program can be made to use them without a change (`ferroce run --sockets`).
//!
//! Underneath are a queue pair, receives that are posted before anything is sent, and credits, so that the sender never
//! sends more than there are receives: what you did by hand in "Ping-pong" and "Flow control".

use crate::rdma::{Access, CompletionQueue, Memory, Nic, Op, QueuePair, Refusal, Sizes};
use std::collections::VecDeque;

/// Bytes of a message.
const PIECE: usize = 256;
/// Receives that are posted at either end: as many for data as for credits.
const WINDOW: usize = 8;

/// Listens at a port.
pub struct Listener {
    nic: Nic,
    port: u16,
}

/// A connection that carries bytes, in order, without boundaries.
pub struct Stream {
    cq: CompletionQueue,
    qp: QueuePair,
    inbox: Memory,
    outbox: Memory,
    /// Messages that may be sent.
    credits: usize,
    /// Messages that were read and not told of.
    read: usize,
    /// Bytes that have come and were not read.
    bytes: VecDeque<u8>,
    /// The next place in the outbox.
    place: usize,
}

impl Listener {
    #[track_caller]
    pub fn bind(nic: &Nic, port: u16) -> Listener {
        nic.listen(port);
        Listener { nic: nic.clone(), port }
    }

    /// Waits for a peer that connects.
    #[track_caller]
    pub fn accept(&self) -> Stream {
        let request = self.nic.request(self.port);
        let stream = Stream::new(&self.nic);
        request.accept(&stream.qp, &[]).expect("the peer waits");
        stream
    }
}

impl Stream {
    /// Connects to a program that listens.
    #[track_caller]
    pub fn connect(nic: &Nic, program: &str, port: u16) -> Result<Stream, Refusal> {
        let stream = Stream::new(nic);
        nic.dial(program, port, &stream.qp, &[])?;
        Ok(stream)
    }

    /// Sends all bytes. Returns when they are on their way; they may come in other pieces than they were sent.
    #[track_caller]
    pub fn write_all(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            while self.credits == 0 {
                self.wait();
            }
            self.credits -= 1;
            self.send(Op::Send, piece);
        }
    }

    /// Waits until there are bytes, and takes those that are there, as many as `buffer` has room for. Returns how many.
    #[track_caller]
    pub fn read(&mut self, buffer: &mut [u8]) -> usize {
        while self.bytes.is_empty() && !buffer.is_empty() {
            self.wait();
        }
        let count = self.bytes.len().min(buffer.len());
        for (byte, read) in buffer.iter_mut().zip(self.bytes.drain(..count)) {
            *byte = read;
        }
        count
    }

    #[track_caller]
    fn new(nic: &Nic) -> Stream {
        let cq = nic.completion_queue(64);
        let qp = nic.queue_pair(&cq, Sizes { send: 32, receive: 2 * WINDOW as u32, signal_all: true });
        let inbox = nic.memory(2 * WINDOW * PIECE, Access::LOCAL_WRITE);
        let outbox = nic.memory(2 * WINDOW * PIECE, Access::LOCAL_READ);
        qp.to_init(Access::LOCAL_WRITE).expect("a new queue pair");
        let (credits, read, bytes, place) = (WINDOW, 0, VecDeque::new(), 0);
        let stream = Stream { cq, qp, inbox, outbox, credits, read, bytes, place };
        for place in 0..2 * WINDOW {
            stream.post(place);
        }
        stream
    }

    #[track_caller]
    fn post(&self, place: usize) {
        let part = place * PIECE..(place + 1) * PIECE;
        self.qp.receive(place as u64, (&self.inbox, part)).expect("there is room");
    }

    #[track_caller]
    fn send(&mut self, op: Op, piece: &[u8]) {
        let at = self.place * PIECE;
        self.place = (self.place + 1) % (2 * WINDOW);
        self.outbox.write(at, piece);
        self.qp.send(0, op, (&self.outbox, at..at + piece.len()), true).expect("there is room");
    }

    /// Waits for a completion, and acts on it.
    #[track_caller]
    fn wait(&mut self) {
        let completion = self.cq.wait();
        assert!(completion.is_success(), "{completion:?}");
        if !completion.is_receive {
            return;
        }
        let place = completion.wr_id as usize;
        let message = self.inbox.read(place * PIECE..place * PIECE + completion.byte_len);
        self.post(place);
        match completion.imm {
            Some(credits) => self.credits += credits as usize,
            None => {
                self.bytes.extend(message);
                self.read += 1;
                if self.read == WINDOW / 2 {
                    self.read = 0;
                    self.send(Op::SendImm(WINDOW as u32 / 2), &[]);
                }
            }
        }
    }
}
