//! Request packets for the student's responder: drawn by dice, or sent by the engine's requester.

use ferroce_engine::{Personality, Psn, Qpn, Time};
use ferroce_wire::{Aeth, Bth, Headers, NakCode, Opcode, Syndrome};

use super::rules::{DUPLICATE, EXPECTED, GAP, ONE_NAK};
use crate::course::Question;
use crate::dice::Dice;
use crate::failure::{Row, Rule};
use crate::ladder::Ladder;
use crate::network::{Faults, Way};
use crate::peer::{Frame, MTU, Peer};
use crate::talk::{Players, Stop};

/// Nanoseconds that a packet takes.
const LATENCY: u64 = 2_000;

/// The credit code that switches end-to-end flow control off.
const NO_CREDITS: u8 = 0x1f;

/// Packets of a drawn sequence.
const DRAWN: usize = 24;

/// Bytes of the longest message of the engine's.
const LONGEST: usize = 5 * MTU.bytes();

/// Rounds after which a conversation has had every chance to end.
const MOST_ROUNDS: usize = 20_000;

/// A sequence of request packets.
pub(super) struct Game {
    seed: u64,
    first: Psn,
    /// Bytes of the messages that the engine sends; none if the packets are drawn.
    messages: Vec<usize>,
    faults: Faults,
}

impl Game {
    pub(super) fn draw(number: usize, engine: bool, dice: &mut Dice) -> Game {
        let first = match number % 3 {
            2 => 0x0100_0000 - 1 - dice.number(3) as u32,
            _ => dice.number(23) as u32,
        };
        let count = if engine { 2 + number } else { 0 };
        let messages = (0..count).map(|_| dice.bits() as usize % LONGEST).collect();
        let chance = 10 + 2 * number as u8;
        let faults = Faults { loss: chance, repeat: chance, delay: chance };
        Game { seed: dice.bits(), first: Psn::new(first), messages, faults }
    }
}

impl Question for Game {
    fn describe(&self) -> String {
        match self.messages.len() {
            0 => format!("a sequence of packets, PSN {} is expected first", self.first),
            count => format!("{count} messages, from PSN {}", self.first),
        }
    }

    fn ask(&self, players: &mut Players<'_>) -> Result<(), Stop> {
        players.ask(&format!("new {}", self.first.value()))?;
        let mut judge =
            Judge { players, expected: self.first, reported: false, ladder: Ladder::new("you", "requester") };
        if self.messages.is_empty() { judge.drawn(self) } else { judge.engine(self) }
    }
}

/// What a responder answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Execute,
    ExecuteAndAck(Psn),
    Ack(Psn),
    Nak(Psn),
    Drop,
}

impl Answer {
    fn read(text: &str) -> Option<Answer> {
        let (word, psn) = text.split_once(' ').unwrap_or((text, ""));
        let psn = psn.parse().map(Psn::new).unwrap_or_default();
        match word {
            "execute" => Some(Answer::Execute),
            "execute-ack" => Some(Answer::ExecuteAndAck(psn)),
            "ack" => Some(Answer::Ack(psn)),
            "nak" => Some(Answer::Nak(psn)),
            "drop" => Some(Answer::Drop),
            _ => None,
        }
    }

    fn words(self) -> String {
        match self {
            Answer::Execute => "Execute".to_owned(),
            Answer::ExecuteAndAck(psn) => format!("ExecuteAndAck({psn})"),
            Answer::Ack(psn) => format!("Ack({psn})"),
            Answer::Nak(psn) => format!("Nak({psn})"),
            Answer::Drop => "Drop".to_owned(),
        }
    }
}

/// A responder as it must be, beside the student's.
struct Judge<'a, 'p> {
    players: &'a mut Players<'p>,
    expected: Psn,
    reported: bool,
    ladder: Ladder,
}

impl Judge<'_, '_> {
    /// Packets around the expected one.
    fn drawn(&mut self, game: &Game) -> Result<(), Stop> {
        let mut dice = Dice::new(game.seed);
        for _ in 0..DRAWN {
            let psn = match dice.number(3) {
                0..4 => self.expected,
                4 | 5 => self.expected - (1 + dice.number(4) as u32),
                _ => self.expected + (1 + dice.number(4) as u32),
            };
            let ack_request = dice.flag();
            self.ladder.note(format!("on_request({psn}, {ack_request})"));
            self.request(psn, ack_request)?;
        }
        Ok(())
    }

    /// The engine's requester sends, until everything is acknowledged.
    fn engine(&mut self, game: &Game) -> Result<(), Stop> {
        let mut dice = Dice::new(game.seed);
        let mut peer = Peer::new(Personality::default(), game.seed, Psn::new(0), game.first, LONGEST);
        let (mut here, mut back) = (Way::new(LATENCY, game.faults), Way::new(LATENCY, game.faults));
        let mut now = 0;
        let mut completed = 0;
        for (index, &bytes) in game.messages.iter().enumerate() {
            peer.send(Time::ZERO, index as u64, bytes);
        }
        for _ in 0..MOST_ROUNDS {
            for frame in peer.transmit(Time::from_nanos(now)) {
                let journey = here.send(now, frame, &mut dice);
                self.ladder.left(now, &frame, &journey);
            }
            self.ladder.steps(peer.steps());
            completed += peer.completions().len();
            if completed == game.messages.len() {
                return Ok(());
            }
            let deadline = peer.deadline().map(Time::nanos);
            let Some(next) = [here.next(), back.next(), deadline].into_iter().flatten().min() else { break };
            now = now.max(next);
            while let Some(frame) = here.receive(now) {
                let Bth { psn, ack_request, .. } = frame.headers.bth;
                self.ladder.note(format!("on_request({psn}, {ack_request})"));
                if let Some(answer) = acknowledgement(self.request(psn, ack_request)?, peer.qpn()) {
                    let journey = back.send(now, answer, &mut dice);
                    self.ladder.right(now, &answer, &journey);
                }
            }
            while let Some(answer) = back.receive(now) {
                for frame in peer.handle(Time::from_nanos(now), answer) {
                    let journey = here.send(now, frame, &mut dice);
                    self.ladder.left(now, &frame, &journey);
                }
            }
            peer.handle_timeout(Time::from_nanos(now));
        }
        unreachable!("a responder that answers as it must brings every message home")
    }

    /// Hands a packet to the student's responder, and compares what it does.
    fn request(&mut self, psn: Psn, ack_request: bool) -> Result<Answer, Stop> {
        let (rule, wanted) = self.wanted(psn, ack_request);
        let seen = self.players.ask(&format!("request {} {}", psn.value(), u8::from(ack_request)))?;
        if Answer::read(&seen) == Some(wanted) {
            return Ok(wanted);
        }
        let seen = Answer::read(&seen).map_or(seen, Answer::words);
        let what = format!("PSN {psn} arrives while {} is expected", self.expected);
        let lines = [what, format!("expected  {}", wanted.words()), format!("seen      {seen}")];
        Err(self.ladder.wrong(rule, vec![Row::exact("First", lines)]).into())
    }

    fn wanted(&mut self, psn: Psn, ack_request: bool) -> (&'static Rule, Answer) {
        if psn.is_after(self.expected) {
            return match std::mem::replace(&mut self.reported, true) {
                true => (&ONE_NAK, Answer::Drop),
                false => (&GAP, Answer::Nak(self.expected)),
            };
        }
        if psn.is_before(self.expected) {
            let answer = if ack_request { Answer::Ack(self.expected - 1) } else { Answer::Drop };
            return (&DUPLICATE, answer);
        }
        self.expected = psn.next();
        self.reported = false;
        (&EXPECTED, if ack_request { Answer::ExecuteAndAck(psn) } else { Answer::Execute })
    }
}

/// The packet to `requester` that an answer sends, if it sends one.
fn acknowledgement(answer: Answer, requester: Qpn) -> Option<Frame> {
    let (psn, syndrome) = match answer {
        Answer::ExecuteAndAck(psn) | Answer::Ack(psn) => (psn, Syndrome::Ack { credits: NO_CREDITS }),
        Answer::Nak(psn) => (psn, Syndrome::Nak(NakCode::PsnSequence)),
        Answer::Execute | Answer::Drop => return None,
    };
    let bth = Bth::new(Opcode::RC_ACKNOWLEDGE, requester, psn);
    let headers = Headers { aeth: Some(Aeth { syndrome, msn: 0 }), ..Headers::new(bth) };
    Some(Frame { headers, payload: 0 })
}
