//! One connection: messages are posted, packets go there and acknowledgements back, until all is done.

use ferroce_engine::{Psn, Time};
use ferroce_wire::{Bth, Headers, NakCode, Opcode, Syndrome};

use super::judge::{Fault, Heard, Judge};
use super::{ACK, NAK, SEND, TIMEOUT};
use crate::course::Question;
use crate::dice::Dice;
use crate::failure::{Row, Wrong};
use crate::ladder::Ladder;
use crate::network::{Faults, Way};
use crate::peer::{MTU, Peer, words};
use crate::talk::{Players, Stop};

/// Ticks that a packet takes.
const LATENCY: u64 = 8;

/// Ticks of silence after which the requester is told.
const PATIENCE: u64 = 100;

/// Every so many packets, and at the end of a message, an acknowledgement is asked for.
const ASK_EVERY: u64 = 4;

/// Packets of the longest message.
const LONGEST: u64 = 24;

/// What is played.
#[derive(Clone, Debug)]
pub(super) struct Game {
    seed: u64,
    first: Psn,
    window: u32,
    /// Packets of each message.
    messages: Vec<u32>,
    /// Faults of packets and of acknowledgements.
    faults: [Faults; 2],
    /// Last packets of messages are never lost, so that every loss shows as a gap.
    spares_last: bool,
    /// Acknowledgements that nobody sent arrive in between.
    nonsense: bool,
}

impl Game {
    /// Draws a game of a step; the first ones are short.
    pub(super) fn draw(step: &'static str, number: usize, dice: &mut Dice) -> Game {
        let count = 1 + number.min(6);
        let longest = (1 + number as u64).min(LONGEST);
        let messages: Vec<u32> = (0..count).map(|_| 1 + (dice.bits() % longest) as u32).collect();
        // Every third connection wraps its PSN soon.
        let first = match number % 3 {
            2 => 0x0100_0000 - 1 - dice.number(4) as u32,
            _ => dice.number(23) as u32,
        };
        let window = 6 + dice.number(4) as u32;
        let light = 8 + dice.number(5) as u8;
        let none = Faults::default();
        let lossy = Faults { loss: light, ..none };
        let rough = Faults { loss: light, repeat: light / 2, delay: light / 2 };
        let faults = match step {
            SEND => [none, none],
            ACK => [none, Faults { repeat: 24, delay: 24, ..none }],
            NAK => [lossy, none],
            TIMEOUT => [lossy, lossy],
            _ => [rough, rough],
        };
        let (spares_last, nonsense) = (step == NAK, !matches!(step, SEND | NAK));
        Game { seed: dice.bits(), first: Psn::new(first), window, messages, faults, spares_last, nonsense }
    }
}

impl Question for Game {
    fn describe(&self) -> String {
        let packets: u32 = self.messages.iter().sum();
        let messages = match self.messages.len() {
            1 => "1 message".to_owned(),
            count => format!("{count} messages"),
        };
        format!("{messages}, {packets} packets in all, from PSN {}, window {}", self.first, self.window)
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        Play::begin(self, players)?.run()
    }
}

/// A game as it goes.
struct Play<'a, 'p> {
    game: &'a Game,
    players: &'a mut Players<'p>,
    dice: Dice,
    now: u64,
    /// When something was last heard, or sent for the first time since.
    stirred: u64,
    judge: Judge,
    peer: Peer,
    there: Way<Headers>,
    back: Way<Headers>,
    /// Messages not posted yet.
    left: Vec<u32>,
    ladder: Ladder,
}

impl<'a, 'p> Play<'a, 'p> {
    fn begin(game: &'a Game, players: &'a mut Players<'p>) -> Result<Play<'a, 'p>, Stop> {
        let mut peer = Peer::new(game.seed, game.first, Psn::new(0), LONGEST as usize * MTU.bytes());
        (0..game.messages.len()).for_each(|index| peer.receive(Time::ZERO, index as u64));
        players.ask(&format!("new {} {}", game.first.value(), game.window))?;
        let [there, back] = game.faults;
        let mut play = Play {
            game,
            players,
            dice: Dice::new(game.seed),
            now: 0,
            stirred: 0,
            judge: Judge::new(game.first, game.window),
            peer,
            there: Way::new(LATENCY, there),
            back: Way::new(LATENCY, back),
            left: game.messages.iter().rev().copied().collect(),
            ladder: Ladder::new("you", "responder"),
        };
        play.post()?;
        Ok(play)
    }

    fn run(mut self) -> Result<(), Stop> {
        while !(self.left.is_empty() && self.judge.is_done()) {
            self.deliver()?;
            if !self.left.is_empty() && (self.judge.is_done() || self.dice.number(4) == 0) {
                self.post()?;
            }
            if self.game.nonsense && self.dice.number(5) == 0 {
                self.nonsense()?;
            }
            let sent = self.send()?;
            self.pass_time(sent)?;
        }
        let (delivered, of) = (self.peer.completions().len(), self.game.messages.len());
        assert_eq!(delivered, of, "what was sent in order and acknowledged was delivered");
        Ok(())
    }

    /// The application posts the next message.
    fn post(&mut self) -> Result<(), Stop> {
        let Some(packets) = self.left.pop() else { return Ok(()) };
        self.judge.post(packets);
        self.ladder.note(format!("post({packets})"));
        self.players.ask(&format!("post {packets}"))?;
        Ok(())
    }

    /// Packets that have arrived are handled at both ends.
    fn deliver(&mut self) -> Result<(), Stop> {
        while let Some(headers) = self.there.receive(self.now) {
            let at = Time::from_nanos(self.now);
            for answer in self.peer.handle(at, headers, MTU.bytes()) {
                let fate = self.back.send(self.now, answer, &mut self.dice);
                self.ladder.left(&words(&answer), fate);
            }
        }
        while let Some(answer) = self.back.receive(self.now) {
            let psn = answer.bth.psn;
            let nak = answer.aeth.map(|aeth| aeth.syndrome) == Some(Syndrome::Nak(NakCode::PsnSequence));
            self.hear(if nak { Heard::Nak(psn) } else { Heard::Ack(psn) })?;
        }
        Ok(())
    }

    /// Something is heard by the requester, and judged.
    fn hear(&mut self, heard: Heard) -> Result<(), Stop> {
        self.stirred = self.now;
        let line = match heard {
            Heard::Ack(psn) => format!("ack {}", psn.value()),
            Heard::Nak(psn) => format!("nak {}", psn.value()),
            Heard::Timeout => "timeout".to_owned(),
        };
        self.ladder.note(match heard {
            Heard::Ack(psn) => format!("on_ack({psn})"),
            Heard::Nak(psn) => format!("on_nak({psn})"),
            Heard::Timeout => "on_timeout()".to_owned(),
        });
        let (_, completed) = self.call(&line)?;
        let judged = self.judge.hears(heard, completed);
        judged.map_err(|fault| self.tell(fault))
    }

    /// An acknowledgement of something that was acknowledged long ago, or never sent.
    fn nonsense(&mut self) -> Result<(), Stop> {
        let is_old = self.dice.flag() && self.judge.oldest > 0;
        let away = 1 + self.dice.number(3);
        let packet = if is_old { self.judge.oldest.saturating_sub(away) } else { self.judge.sent() + away };
        self.hear(Heard::Ack(self.judge.psn(packet)))
    }

    /// The network can take a packet. True if there was one.
    fn send(&mut self) -> Result<bool, Stop> {
        let packet = self.judge.next;
        let (psn, completed) = self.call("next")?;
        if let Err(fault) = self.judge.sends(psn) {
            self.ladder
                .note(psn.map_or("next_packet() is None".to_owned(), |psn| format!("sends {psn:06x}")));
            return Err(self.tell(fault));
        }
        if completed != self.judge.completed() {
            let (expected, seen) = (self.judge.completed(), completed);
            let text = format!("completed() is {expected} before next_packet() and {seen} after");
            return Err(
                Wrong { rule: &super::rules::CUMULATIVE, rows: vec![Row::text("Seen", &text)] }.into()
            );
        }
        let Some(psn) = psn else { return Ok(false) };
        let headers = self.packet(packet, Psn::new(psn));
        let spared = self.game.spares_last && headers.bth.ack_request;
        let fate = match spared {
            true => self.there.send_safely(self.now, headers),
            false => self.there.send(self.now, headers, &mut self.dice),
        };
        self.ladder.right(&words(&headers), fate);
        self.stirred = self.now;
        Ok(true)
    }

    /// The headers of a packet of a message.
    fn packet(&self, packet: u64, psn: Psn) -> Headers {
        let (begin, end) = self.judge.message(packet);
        let opcode = match (packet == begin, packet + 1 == end) {
            (true, true) => Opcode::RC_SEND_ONLY,
            (true, false) => Opcode::RC_SEND_FIRST,
            (false, true) => Opcode::RC_SEND_LAST,
            (false, false) => Opcode::RC_SEND_MIDDLE,
        };
        let ack_request = packet + 1 == end || (packet - begin) % ASK_EVERY == ASK_EVERY - 1;
        Headers::new(Bth { ack_request, ..Bth::new(opcode, self.peer.qpn(), psn) })
    }

    /// After a packet a tick, else until something arrives or the requester's patience ends.
    fn pass_time(&mut self, sent: bool) -> Result<(), Stop> {
        if sent {
            self.now += 1;
            return Ok(());
        }
        let gives_up = self.stirred + PATIENCE;
        let next = [self.there.next(), self.back.next()].into_iter().flatten().min();
        self.now = next.map_or(gives_up, |next| next.min(gives_up)).max(self.now + 1);
        if self.now >= gives_up && !self.judge.is_done() {
            self.hear(Heard::Timeout)?;
        }
        Ok(())
    }

    /// Calls the student's requester: the packet it sends, if the call was for one, and its `completed()`.
    fn call(&mut self, line: &str) -> Result<(Option<u32>, usize), Stop> {
        let answer = self.players.ask(line)?;
        let (sent, completed) = answer.split_once(' ').unwrap_or_default();
        Ok((sent.parse().ok(), completed.parse().unwrap_or(usize::MAX)))
    }

    fn tell(&self, Fault { rule, expected, seen }: Fault) -> Stop {
        let mut rows = vec![Row::text("Wanted", &expected), Row::text("Seen", &seen)];
        rows.push(self.ladder.row());
        Wrong { rule, rows }.into()
    }
}
