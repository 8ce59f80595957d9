//! The ping-pong itself: a message goes there, comes back, and goes again.

use std::thread;
use std::time::{Duration, Instant};

use ferroce::{
    CompletionQueue, MemoryRegion, QueuePair, RecvWr, SendFlags, SendOp, SendWr, To, Wc, WcExt, WcStatus,
};

use super::address::failure;
use crate::failure::Failure;

/// Numbers of work requests.
const RECEIVE: u64 = 1;
const SEND: u64 = 2;

/// What the originals fill the buffer with.
const FILLING: u8 = 0x7b;

/// Of what they check the first byte, with `-c`; it is to be 0.
const PAGE: usize = 4096;

/// How long nothing may arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// Polls before others get a chance: where processors are scarce, the peer may be waiting for this one.
const POLLS: u32 = 64;

/// The rules.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rules {
    /// Messages in each direction.
    pub iters: u64,
    /// Receives that are posted.
    pub rx_depth: u32,
    /// Sleep instead of polling.
    pub events: bool,
    /// Mark the pages as the originals do with `-c`.
    pub check: bool,
    /// Change all bytes with every message, and check them all.
    pub verify: bool,
    /// This side sends first.
    pub serves_first: bool,
    /// Bytes of network header before each message that arrives.
    pub headroom: usize,
}

/// How it ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Score {
    /// From the first message to the last completion.
    pub elapsed: Duration,
    /// Messages with wrong bytes, and where the first one was wrong.
    pub wrong: u64,
    /// Message and byte.
    pub first_wrong: Option<(u64, usize)>,
    /// The peer ended without acknowledging the last message.
    pub unacknowledged: bool,
}

/// A game under way. Sends and receives share one buffer, as with the originals: what came is sent back.
pub(super) struct Game<'a> {
    pub qp: &'a QueuePair,
    pub cq: &'a CompletionQueue,
    pub memory: &'a MemoryRegion,
    pub rules: Rules,
    to: To,
    receives: u32,
    posted: u64,
    sent: u64,
    received: u64,
    /// What was seen of the peer's first message.
    fashion: Option<Fashion>,
    scratch: Vec<u8>,
    score: Score,
}

/// What fills the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fashion {
    /// Always the same, as from the originals.
    Constant,
    /// Other bytes in every message.
    Changing,
}

impl<'a> Game<'a> {
    /// Fills the buffer and posts receives, so that the peer may begin at any time.
    pub(super) fn prepare(
        qp: &'a QueuePair,
        cq: &'a CompletionQueue,
        memory: &'a MemoryRegion,
        rules: Rules,
    ) -> Result<Game<'a>, Failure> {
        let scratch = vec![0; memory.len() - rules.headroom];
        let (posted, sent, received, score) = (0, 0, 0, Score::default());
        let fashion = (rules.serves_first && rules.verify).then_some(Fashion::Changing);
        let (to, receives) = (To::Peer, 0);
        let mut game =
            Game { qp, cq, memory, rules, to, receives, posted, sent, received, fashion, scratch, score };
        game.fill(Fashion::Constant, 0);
        game.post_receives()?;
        Ok(game)
    }

    /// Plays to the end.
    pub(super) fn play(mut self, to: To) -> Result<Score, Failure> {
        self.to = to;
        let start = Instant::now();
        if self.rules.serves_first && self.rules.iters > 0 {
            self.post_send()?;
        }
        let mut wcs = [Wc::default(); 2];
        while self.sent < self.rules.iters || self.received < self.rules.iters {
            let found = self.next(&mut wcs)?;
            for wc in &wcs[..found] {
                self.completed(*wc)?;
            }
        }
        Ok(Score { elapsed: start.elapsed(), ..self.score })
    }

    fn next(&self, wcs: &mut [Wc]) -> Result<usize, Failure> {
        let silence = || {
            let what =
                format_args!("nothing came from the peer for {} seconds", PATIENCE.as_secs()).to_string();
            Failure::new(what, "see whether it still runs, and whether UDP port 4791 is open between the two")
        };
        if self.rules.events {
            return self.cq.wait_many(wcs, PATIENCE).map_err(|_| silence());
        }
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            for _ in 0..POLLS {
                match self.cq.poll(wcs) {
                    0 => {}
                    found => return Ok(found),
                }
            }
            thread::yield_now();
        }
        Err(silence())
    }

    fn completed(&mut self, wc: Wc) -> Result<(), Failure> {
        if self.score.unacknowledged {
            // The game is over; what comes now are receives that were never used, flushed.
            return Ok(());
        }
        let is_last = self.sent + 1 == self.rules.iters && self.received == self.rules.iters;
        if wc.wr_id == SEND && wc.status == WcStatus::RetryExcErr && is_last {
            self.score.unacknowledged = true;
        } else {
            wc.ok().map_err(|error| failure(&error))?;
        }
        if wc.wr_id == SEND {
            self.sent += 1;
        } else {
            self.arrived(wc)?;
        }
        // The one who served waits for both, the other one answers as soon as something has come.
        let due = self.received + u64::from(self.rules.serves_first);
        if self.sent == self.posted && self.posted < due.min(self.rules.iters) {
            self.post_send()?;
        }
        Ok(())
    }

    fn arrived(&mut self, wc: Wc) -> Result<(), Failure> {
        if wc.byte_len as usize != self.memory.len() {
            let (got, own) = ((wc.byte_len as usize).saturating_sub(self.rules.headroom), self.scratch.len());
            return Err(Failure::new(
                format_args!("the peer's messages have {got} bytes, ours {own}"),
                "give both programs the same -s",
            ));
        }
        if self.rules.verify {
            self.verify();
        }
        self.received += 1;
        self.receives -= 1;
        if self.receives <= 1 {
            self.post_receives()?;
        }
        Ok(())
    }

    fn post_receives(&mut self) -> Result<(), Failure> {
        let sges = [self.memory.sge()];
        let missing = (self.rules.rx_depth - self.receives) as usize;
        let wrs = vec![RecvWr { wr_id: RECEIVE, sges: &sges }; missing];
        self.qp.post_recv(&wrs).map_err(|error| failure(&error))?;
        self.receives = self.rules.rx_depth;
        Ok(())
    }

    fn post_send(&mut self) -> Result<(), Failure> {
        if self.rules.serves_first && self.rules.verify {
            self.fill(Fashion::Changing, self.posted);
        }
        let sges = [self.memory.slice(self.rules.headroom..)];
        let wr = SendWr::new(SEND, SendOp::Send, ferroce::Payload::Sges(&sges));
        let wr = SendWr { flags: SendFlags::SIGNALED, to: self.to, ..wr };
        self.qp.post_send(&[wr]).map_err(|error| failure(&error))?;
        self.posted += 1;
        Ok(())
    }

    /// Compares what has come with what should have come. The side that answers learns from the first message
    /// whether the other one changes them.
    fn verify(&mut self) {
        self.memory.read(self.rules.headroom, &mut self.scratch);
        let number = self.received;
        let wrong = |fashion| {
            let is_wrong = |&(place, byte): &(usize, &u8)| !is_right(fashion, number, place, *byte);
            self.scratch.iter().enumerate().find(is_wrong).map(|(place, _)| place)
        };
        let fashion = *self.fashion.get_or_insert_with(|| match wrong(Fashion::Constant) {
            None => Fashion::Constant,
            Some(_) => Fashion::Changing,
        });
        if let Some(place) = wrong(fashion) {
            self.score.wrong += 1;
            self.score.first_wrong.get_or_insert((number, place));
        }
    }

    fn fill(&mut self, fashion: Fashion, number: u64) {
        for (place, byte) in self.scratch.iter_mut().enumerate() {
            let is_mark = self.rules.check && place.is_multiple_of(PAGE);
            *byte = if is_mark { 0 } else { expected(fashion, number, place) };
        }
        self.memory.write(self.rules.headroom, &self.scratch);
    }

    /// The pages whose first byte is not what `-c` wants to see.
    pub(super) fn wrong_pages(memory: &MemoryRegion, headroom: usize) -> Vec<usize> {
        let message = memory.to_vec(headroom..);
        (0..message.len().div_ceil(PAGE)).filter(|page| message[page * PAGE] != 0).collect()
    }
}

/// The byte at `place` of message `number`.
fn expected(fashion: Fashion, number: u64, place: usize) -> u8 {
    match fashion {
        Fashion::Constant => FILLING,
        Fashion::Changing => {
            // A mixer in the manner of Vigna's SplitMix64: neighbours look unrelated.
            let mut word = ((number << 32) | (place as u64 / 8)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            (word ^ (word >> 31)).to_le_bytes()[place % 8]
        }
    }
}

/// A page may be marked.
fn is_right(fashion: Fashion, number: u64, place: usize, byte: u8) -> bool {
    byte == expected(fashion, number, place) || (byte == 0 && place.is_multiple_of(PAGE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(serves_first: bool) -> Rules {
        let (events, check, verify) = (true, true, true);
        Rules { iters: 50, rx_depth: 4, events, check, verify, serves_first, headroom: 0 }
    }

    /// Plays between two threads.
    fn game(ours: Rules, theirs: Rules, len: usize) -> (Result<Score, Failure>, Result<Score, Failure>) {
        let (a, b) = ferroce::pair().unwrap();
        let access = ferroce::Access::LOCAL_WRITE;
        let (here, there) = (a.pd.register(len, access).unwrap(), b.pd.register(len, access).unwrap());
        thread::scope(|scope| {
            let answers = Game::prepare(&b.qp, &b.cq, &there, theirs).unwrap();
            let serves = Game::prepare(&a.qp, &a.cq, &here, ours).unwrap();
            let answering = scope.spawn(|| answers.play(To::Peer));
            (serves.play(To::Peer), answering.join().unwrap())
        })
    }

    #[test]
    fn all_bytes_of_all_messages_are_right() {
        for len in [0, 1, 8192 + 1] {
            let (ours, theirs) = game(rules(true), rules(false), len);
            for score in [ours.unwrap(), theirs.unwrap()] {
                assert_eq!((score.wrong, score.first_wrong, score.unacknowledged), (0, None, false), "{len}");
            }
        }
    }

    #[test]
    fn one_who_verifies_suits_one_who_does_not() {
        let plain = |serves_first| Rules { verify: false, check: false, ..rules(serves_first) };
        let (ours, theirs) = game(rules(true), plain(false), 5000);
        assert_eq!((ours.unwrap().wrong, theirs.unwrap().wrong), (0, 0));
        let (ours, theirs) = game(plain(true), rules(false), 5000);
        assert_eq!((ours.unwrap().wrong, theirs.unwrap().wrong), (0, 0));
    }

    #[test]
    fn wrong_bytes_are_found() {
        let (a, _b) = ferroce::pair().unwrap();
        let memory = a.pd.register(10_000, ferroce::Access::LOCAL_WRITE).unwrap();
        let mut game = Game::prepare(&a.qp, &a.cq, &memory, rules(false)).unwrap();
        game.fill(Fashion::Changing, 0);
        game.verify();
        assert_eq!((game.score.wrong, game.fashion), (0, Some(Fashion::Changing)));
        game.received = 1;
        game.fill(Fashion::Changing, 1);
        let byte = memory.to_vec(9_000..=9_000)[0];
        memory.write(9_000, &[!byte]);
        game.verify();
        assert_eq!((game.score.wrong, game.score.first_wrong), (1, Some((1, 9_000))));
        assert_eq!(Game::wrong_pages(&memory, 0), [0; 0]);
        memory.write(4096, &[1]);
        assert_eq!(Game::wrong_pages(&memory, 0), [1]);
    }
}
