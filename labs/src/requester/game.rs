//! One connection: messages are posted, packets go there and acknowledgements back, until all is done.

use ferroce_engine::{Psn, Time};
use ferroce_wire::{Bth, Headers, NakCode, Opcode, Syndrome};

use super::{Fault, Flight, Heard, Judge, Scheme, Weather, rules};
use crate::course::Question;
use crate::dice::Dice;
use crate::failure::{Row, Wrong, count};
use crate::ladder::Ladder;
use crate::network::Way;
use crate::peer::{Frame, MTU, Peer};
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
pub(crate) struct Game {
    scheme: Scheme,
    seed: u64,
    first: Psn,
    window: u32,
    /// Packets of each message.
    messages: Vec<u32>,
    weather: Weather,
}

impl Game {
    /// Draws a game; those with small numbers are short. `weather` is given how many of 256 packets may suffer.
    pub(crate) fn draw(
        scheme: Scheme,
        number: usize,
        dice: &mut Dice,
        weather: impl FnOnce(u8) -> Weather,
    ) -> Game {
        let count = 1 + number.min(6);
        let longest = (1 + number as u64).min(LONGEST);
        let messages: Vec<u32> = (0..count).map(|_| 1 + (dice.bits() % longest) as u32).collect();
        // Every third connection wraps its PSN soon.
        let first = match number % 3 {
            2 => 0x0100_0000 - 1 - dice.number(4) as u32,
            _ => dice.number(23) as u32,
        };
        let window = 6 + dice.number(4) as u32;
        let weather = weather(8 + dice.number(5) as u8);
        Game { scheme, seed: dice.bits(), first: Psn::new(first), window, messages, weather }
    }
}

impl Question for Game {
    fn describe(&self) -> String {
        let packets: u32 = self.messages.iter().sum();
        let (messages, packets) = (count(self.messages.len() as u64, "message"), count(packets, "packet"));
        format!("{messages}, {packets} in all, from PSN {}, window {}", self.first, self.window)
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
    judge: Box<dyn Judge>,
    peer: Peer,
    there: Way<Frame>,
    back: Way<Frame>,
    /// Messages not posted yet.
    left: Vec<u32>,
    ladder: Ladder,
}

impl<'a, 'p> Play<'a, 'p> {
    fn begin(game: &'a Game, players: &'a mut Players<'p>) -> Result<Play<'a, 'p>, Stop> {
        let personality = (game.scheme.personality)();
        let mut peer =
            Peer::new(personality, game.seed, game.first, Psn::new(0), LONGEST as usize * MTU.bytes());
        (0..game.messages.len()).for_each(|index| peer.receive(Time::ZERO, index as u64));
        players.ask(&format!("new {} {}", game.first.value(), game.window))?;
        let [there, back] = game.weather.faults;
        let mut play = Play {
            game,
            players,
            dice: Dice::new(game.seed),
            now: 0,
            stirred: 0,
            judge: (game.scheme.judge)(Flight::new(game.first, game.window)),
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
        while !(self.left.is_empty() && self.judge.flight().is_done()) {
            self.deliver()?;
            if !self.left.is_empty() && (self.judge.flight().is_done() || self.dice.number(4) == 0) {
                self.post()?;
            }
            // For sure while the one packet of the shortest game is under way: believed, it completes the message.
            let is_due = self.game.messages.len() == 1 && self.now == 1;
            if self.game.weather.nonsense && (is_due || self.dice.number(5) == 0) {
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
        self.judge.flight().post(packets);
        self.ladder.note(format!("post({packets})"));
        self.players.ask(&format!("post {packets}"))?;
        Ok(())
    }

    /// Packets that have arrived are handled at both ends.
    fn deliver(&mut self) -> Result<(), Stop> {
        while let Some(frame) = self.there.receive(self.now) {
            let at = Time::from_nanos(self.now);
            for answer in self.peer.handle(at, frame) {
                let journey = self.back.send(self.now, answer, &mut self.dice);
                self.ladder.left(self.now, &answer, &journey);
            }
            self.ladder.steps(self.peer.steps());
        }
        while let Some(answer) = self.back.receive(self.now) {
            self.hear(heard(&answer.headers))?;
        }
        Ok(())
    }

    /// Something is heard by the requester, and judged.
    fn hear(&mut self, heard: Heard) -> Result<(), Stop> {
        self.stirred = self.now;
        let line = match heard {
            Heard::Ack(psn) => format!("ack {}", psn.value()),
            Heard::Nak { expected, arrived } => {
                let arrived = arrived.map_or(String::new(), |psn| format!(" {}", psn.value()));
                format!("nak {}{arrived}", expected.value())
            }
            Heard::Timeout => "timeout".to_owned(),
        };
        self.ladder.note(match heard {
            Heard::Ack(psn) => format!("on_ack({psn})"),
            Heard::Nak { expected, arrived: None } => format!("on_nak({expected})"),
            Heard::Nak { expected, arrived: Some(arrived) } => format!("on_gap({expected}, {arrived})"),
            Heard::Timeout => "on_timeout()".to_owned(),
        });
        let (_, completed) = self.call(&line)?;
        let judged = self.judge.hears(heard, completed);
        judged.map_err(|fault| self.tell(fault))
    }

    /// An acknowledgement of something that was acknowledged long ago, or never sent.
    fn nonsense(&mut self) -> Result<(), Stop> {
        let flight = self.judge.flight();
        let is_old = self.dice.flag() && flight.oldest > 0;
        let away = 1 + self.dice.number(3);
        let packet = if is_old { flight.oldest.saturating_sub(away) } else { flight.sent + away };
        let psn = flight.psn(packet);
        self.hear(Heard::Ack(psn))
    }

    /// The network can take a packet. True if there was one.
    fn send(&mut self) -> Result<bool, Stop> {
        let before = self.judge.flight().sent;
        let (psn, completed) = self.call("next")?;
        let packet = match self.judge.sends(psn) {
            Ok(packet) => packet,
            Err(fault) => {
                self.ladder
                    .note(psn.map_or("next_packet() is None".to_owned(), |psn| format!("sends {psn:#08x}")));
                return Err(self.tell(fault));
            }
        };
        let expected = self.judge.flight().completed();
        if completed != expected {
            let seen = completed;
            let text = format!("completed() is {expected} before next_packet() and {seen} after");
            return Err(Wrong::new(&rules::CUMULATIVE, vec![Row::text("Seen", &text)]).into());
        }
        let Some(packet) = packet else { return Ok(false) };
        let mut frame = Frame { headers: self.packet(packet), payload: MTU.bytes() };
        let spared = self.game.weather.spares_last && frame.headers.bth.ack_request;
        // What is sent again asks for an answer: the one to what it repeats may be lost, and nothing else may follow.
        frame.headers.bth.ack_request |= packet < before;
        let journey = match spared {
            true => self.there.send_safely(self.now, frame),
            false => self.there.send(self.now, frame, &mut self.dice),
        };
        self.ladder.right(self.now, &frame, &journey);
        self.stirred = self.now;
        Ok(true)
    }

    /// The headers of a packet of a message.
    fn packet(&mut self, packet: u64) -> Headers {
        let flight = self.judge.flight();
        let (psn, (begin, end)) = (flight.psn(packet), flight.message(packet));
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
        if self.now >= gives_up && !self.judge.flight().is_done() {
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
        let rows = vec![Row::text("Wanted", &expected), Row::text("Seen", &seen)];
        self.ladder.wrong(rule, rows).into()
    }
}

/// What a packet of the responder's says.
fn heard(answer: &Headers) -> Heard {
    let psn = answer.bth.psn;
    let is_nak = answer.aeth.map(|aeth| aeth.syndrome) == Some(Syndrome::Nak(NakCode::PsnSequence));
    // Selective repeat has the seven reserved bits say how far behind the PSN another packet is that has arrived.
    let behind = answer.bth.resv7;
    let arrived = (behind > 0).then(|| psn + u32::from(behind));
    match (is_nak, arrived) {
        (true, _) => Heard::Nak { expected: psn, arrived },
        (false, Some(_)) => Heard::Nak { expected: psn.next(), arrived },
        (false, None) => Heard::Ack(psn),
    }
}
