//! A program on the stage, with what its card has made for it.

use std::net::IpAddr;

use ferroce_engine::{Access, Buffer, Cq, MrInit, Pd, Qpn, Sge, Time, Wc};
use ferroce_fabric::{Fabric, HostId};

use super::connecting::{Awaited, Connections};
use super::verbs;
use crate::talk::{Stop, Student};

/// Objects of a kind that a program can make.
const MOST_OBJECTS: usize = 1024;

/// Bytes of memory that a program can register.
const MOST_BYTES: usize = 64 << 20;

/// How often a program can look at its memory in no time.
const LOOKS: u32 = 256;

/// A program on the stage.
pub(crate) struct Actor {
    name: String,
    /// Until it has left.
    student: Option<Student>,
    host: HostId,
    pd: Pd,
    memories: Vec<Registered>,
    cqs: Vec<Cq>,
    qps: Vec<Qpn>,
    waiting: Waiting,
    /// Line of the student's file that the last call stands in; `None` if the program around it calls.
    line: Option<u32>,
    pub(super) connections: Connections,
    /// How often it has looked at its memory since it last waited.
    looks: u32,
    /// Completions that it has taken out.
    completions: u64,
    result: String,
}

/// A memory region.
struct Registered {
    buffer: Buffer,
    iova: u64,
    lkey: u32,
}

/// What a program waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// It goes on.
    Nothing,
    /// Words of another program.
    Hear(usize),
    /// A completion, or that a moment passes.
    Poll { cq: Cq, again: bool },
    /// A completion.
    Completion(Cq),
    /// That its work is done, at this moment.
    Work(Time),
    /// News about a connection.
    Connection(Awaited),
    /// That this moment passes: it has looked at its memory again and again.
    Look(Time),
    /// It has ended.
    End,
}

impl Waiting {
    /// The moment that it ends at by itself.
    pub(super) fn until(&self) -> Option<Time> {
        match *self {
            Waiting::Work(until) | Waiting::Look(until) => Some(until),
            _ => None,
        }
    }
}

impl Actor {
    pub(super) fn new(name: &str, student: Student, host: HostId, fabric: &mut Fabric) -> Actor {
        let pd = fabric.with(host, |device, _| device.alloc_pd()).expect("a new device has room");
        Actor {
            name: name.to_owned(),
            student: Some(student),
            host,
            pd,
            memories: Vec::new(),
            cqs: Vec::new(),
            qps: Vec::new(),
            waiting: Waiting::Nothing,
            line: None,
            connections: Connections::default(),
            looks: 0,
            completions: 0,
            result: String::new(),
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn host(&self) -> HostId {
        self.host
    }

    pub(super) fn completions(&self) -> u64 {
        self.completions
    }

    /// Whether the student's file makes the call that it is at.
    pub(super) fn is_in_the_file(&self) -> bool {
        self.line.is_some()
    }

    /// Its name, and the line of the student's file that it is at.
    pub(super) fn place(&self) -> String {
        let line = self.line.map_or(String::new(), |line| format!(", line {line}"));
        format!("{}{line}", self.name)
    }

    pub(super) fn qps(&self) -> &[Qpn] {
        &self.qps
    }

    pub(super) fn pd(&self) -> Pd {
        self.pd
    }

    pub(super) fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    pub(super) fn wait(&mut self, waiting: Waiting) {
        self.waiting = waiting;
        self.looks = 0;
    }

    /// It has looked at its memory. True if it does so all the time.
    pub(super) fn looks_again(&mut self) -> bool {
        self.looks += 1;
        self.looks >= LOOKS
    }

    pub(super) fn go_on(&mut self) {
        self.waiting = Waiting::Nothing;
    }

    /// A moment passes; a poll that found nothing returns after it. True if there was one.
    pub(super) fn polls_again(&mut self) -> bool {
        match &mut self.waiting {
            Waiting::Poll { again, .. } => {
                *again = true;
                true
            }
            _ => false,
        }
    }

    /// What its function returned, if it has.
    pub(super) fn result(&self) -> Option<&str> {
        (self.waiting == Waiting::End).then_some(&*self.result)
    }

    /// Gives the program back, once it has ended.
    pub(super) fn leave(&mut self) -> Option<Student> {
        self.student.take()
    }

    /// Its next call, or `None` when it has ended.
    pub(super) fn hear(&mut self) -> Result<Option<String>, Stop> {
        let line = self.student.as_mut().expect("it has not left").hear()?;
        let (at, call) = line.split_once(' ').unwrap_or((&line, ""));
        if at == "end" {
            self.waiting = Waiting::End;
            call.clone_into(&mut self.result);
            return Ok(None);
        }
        self.line = at.parse().ok().filter(|&line| line > 0);
        Ok(Some(call.to_owned()))
    }

    /// Answers its call.
    pub(super) fn answer(&mut self, answer: Result<String, String>) -> Result<(), Stop> {
        self.student.as_mut().expect("it has not left").say(&match answer {
            Ok(words) => format!("ok {words}"),
            Err(why) => format!("err {why}"),
        })
    }

    /// A verb of its card.
    pub(super) fn verb(
        &mut self,
        fabric: &mut Fabric,
        verb: &str,
        arguments: &str,
        peer: Option<IpAddr>,
    ) -> Result<String, String> {
        verbs::call(self, fabric, verb, arguments, peer)
    }

    /// Takes a completion out.
    pub(super) fn take(&mut self, fabric: &mut Fabric, cq: Cq) -> Option<Wc> {
        let mut one = [Wc::default()];
        let found = fabric.with(self.host, |device, _| device.poll_cq(cq, &mut one));
        let wc = (found == Ok(1)).then_some(one[0]);
        self.completions += u64::from(wc.is_some());
        wc
    }

    // --- objects ---------------------------------------------------------------------------------------------------

    /// Addresses are round numbers, the same in every run.
    pub(super) fn register(
        &mut self,
        fabric: &mut Fabric,
        len: usize,
        access: Access,
    ) -> Result<String, String> {
        let used: usize = self.memories.iter().map(|memory| memory.buffer.len()).sum();
        if len > MOST_BYTES - used.min(MOST_BYTES) || self.memories.len() >= MOST_OBJECTS {
            return Err(format!("memory({len}): a card of this lab has {MOST_BYTES} bytes in all"));
        }
        let iova = (self.memories.len() as u64 + 1) << 32;
        let buffer = Buffer::new(len);
        let init = MrInit { iova, ..MrInit::new(&buffer, access) };
        let mr = fabric.with(self.host, |device, _| device.reg_mr(self.pd, init));
        let mr = mr.map_err(|error| format!("memory(): {error}"))?;
        self.memories.push(Registered { buffer, iova, lkey: mr.lkey });
        Ok(format!("{} {iova} {}", self.memories.len() - 1, mr.rkey))
    }

    pub(super) fn keep_cq(&mut self, cq: Cq) -> Result<usize, String> {
        keep(&mut self.cqs, cq)
    }

    pub(super) fn keep_qp(&mut self, qp: Qpn) -> Result<usize, String> {
        keep(&mut self.qps, qp)
    }

    pub(super) fn cq(&self, id: u64) -> Result<Cq, String> {
        usize::try_from(id)
            .ok()
            .and_then(|id| self.cqs.get(id))
            .copied()
            .ok_or("no such completion queue".to_owned())
    }

    pub(super) fn qp(&self, id: u64) -> Result<Qpn, String> {
        usize::try_from(id)
            .ok()
            .and_then(|id| self.qps.get(id))
            .copied()
            .ok_or("no such queue pair".to_owned())
    }

    /// A part of a memory region, as work requests name it.
    pub(super) fn sge(&self, memory: u64, at: u64, len: u64) -> Result<Sge, String> {
        let &Registered { iova, lkey, .. } = self.part(memory, at, len)?;
        Ok(Sge { addr: iova + at, len: len as u32, lkey })
    }

    /// The bytes of a part of a memory region.
    pub(super) fn bytes(&self, memory: u64, at: u64, len: u64) -> Result<Vec<u8>, String> {
        Ok(self.part(memory, at, len)?.buffer.to_vec(at as usize, len as usize))
    }

    pub(super) fn put(&self, memory: u64, at: u64, bytes: &[u8]) -> Result<(), String> {
        self.part(memory, at, bytes.len() as u64)?.buffer.write(at as usize, bytes);
        Ok(())
    }

    /// All of a memory region.
    pub(super) fn memory(&self, region: usize) -> Option<Vec<u8>> {
        self.memories.get(region).map(|memory| memory.buffer.to_vec(0, memory.buffer.len()))
    }

    fn part(&self, memory: u64, at: u64, len: u64) -> Result<&Registered, String> {
        let found = usize::try_from(memory).ok().and_then(|id| self.memories.get(id));
        let registered = found.ok_or("no such memory")?;
        let has = registered.buffer.len();
        if at.checked_add(len).is_some_and(|end| end <= has as u64) {
            return Ok(registered);
        }
        Err(format!("bytes {at}..{} of a memory that has {has}", at.saturating_add(len)))
    }
}

fn keep<O>(objects: &mut Vec<O>, object: O) -> Result<usize, String> {
    if objects.len() >= MOST_OBJECTS {
        return Err(format!("a card of this lab has room for {MOST_OBJECTS} of a kind"));
    }
    objects.push(object);
    Ok(objects.len() - 1)
}
