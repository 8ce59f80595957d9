//! Kinds of memory: registered anew, by work request, of the device, missing, nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use ferroce_engine::*;

use crate::pair::{ALL, Fate, Pair, Setup};

const PAGE: u64 = 4096;

/// A pair with a Pd at hand for each end.
fn pair() -> (Pair, [Pd; 2]) {
    let pair = Pair::new(Setup::default());
    let pd = |end: usize| pair.ends[end].device.query_qp(pair.ends[end].qp).unwrap().init.pd;
    let pds = [pd(0), pd(1)];
    (pair, pds)
}

/// End 0 WRITEs 8 bytes of its memory to `remote`; how that completes.
fn write(pair: &mut Pair, remote: Remote) -> WcStatus {
    let local = pair.ends[0].sge(0, 8);
    pair.send(0, 1, SendOp::Write(remote), &[local]);
    pair.settle();
    pair.ends[0].poll()[0].status
}

/// An address space with pages here and there.
#[derive(Debug, Default)]
struct Pages(Mutex<BTreeMap<u64, [u8; PAGE as usize]>>);

impl Pages {
    fn map(&self, page: u64) {
        self.0.lock().unwrap().insert(page, [0; PAGE as usize]);
    }

    fn bytes(&self, addr: u64, len: u64, mut act: impl FnMut(usize, &mut u8)) -> bool {
        let mut pages = self.0.lock().unwrap();
        (0..len).all(|index| {
            let addr = addr + index;
            let byte = pages.get_mut(&(addr / PAGE)).map(|page| &mut page[(addr % PAGE) as usize]);
            byte.map(|byte| act(index as usize, byte)).is_some()
        })
    }
}

impl AddressSpace for Pages {
    fn read(&self, addr: u64, out: &mut [u8]) -> bool {
        self.bytes(addr, out.len() as u64, |index, byte| out[index] = *byte)
    }

    fn write(&self, addr: u64, data: &[u8]) -> bool {
        self.bytes(addr, data.len() as u64, |index, byte| *byte = data[index])
    }

    fn prefetch(&self, addr: u64, len: u64, _write: bool) -> bool {
        self.bytes(addr, len, |_, _| {})
    }
}

/// All of an address space, registered at end 1.
fn implicit(pair: &mut Pair, pd: Pd) -> (Arc<Pages>, Mr) {
    let pages = Arc::new(Pages::default());
    let region = Region::paged(Arc::clone(&pages) as _, 0, u64::MAX);
    let init = MrInit::new(region, ALL | Access::ON_DEMAND);
    let mr = pair.ends[1].device.reg_mr(pd, init).unwrap();
    (pages, mr)
}

#[test]
fn a_region_of_everything_reaches_what_is_there() {
    let (mut pair, pds) = pair();
    let (pages, mr) = implicit(&mut pair, pds[1]);
    (5..8).for_each(|page| pages.map(page));
    pair.ends[0].buffer.write(0, &[7; 5000]);
    let remote = Remote { addr: 5 * PAGE + 100, rkey: mr.rkey };
    let (from, into) = (pair.ends[0].sge(0, 5000), pair.ends[0].sge(8000, 5000));
    pair.send(0, 1, SendOp::Write(remote), &[from]);
    pair.send(0, 2, SendOp::Read(remote), &[into]);
    let word = Remote { addr: 6 * PAGE, ..remote };
    let old = pair.ends[0].sge(16_000, 8);
    let fenced = SendFlags::SIGNALED | SendFlags::FENCE;
    pair.send_with(0, 3, SendOp::FetchAdd { remote: word, add: 1 }, &[old], fenced);
    pair.settle();
    let done: Vec<_> = pair.ends[0].statuses();
    assert_eq!(done, [1, 2, 3].map(|wr_id| (wr_id, WcStatus::Success)));
    assert!(pair.ends[0].buffer.to_vec(8000, 5000).iter().all(|byte| *byte == 7));
    let sevens = u64::from_ne_bytes([7; 8]);
    assert_eq!(pair.ends[0].buffer.to_vec(16_000, 8), sevens.to_ne_bytes());
    let mut word = [0; 8];
    assert!(pages.read(6 * PAGE, &mut word));
    assert_eq!(u64::from_ne_bytes(word), sevens + 1);
}

#[test]
fn a_page_that_is_missing_fails_the_access_and_nothing_else() {
    type Make = fn(Remote) -> SendOp;
    let make: [Make; 3] =
        [SendOp::Write, SendOp::Read, |remote| SendOp::CompareSwap { remote, compare: 0, swap: 1 }];
    for op in make {
        let (mut pair, pds) = pair();
        let (_, mr) = implicit(&mut pair, pds[1]);
        let sge = pair.ends[0].sge(0, 8);
        pair.send(0, 1, op(Remote { addr: 99 * PAGE, rkey: mr.rkey }), &[sge]);
        pair.settle();
        assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::RemAccessErr)]);
        assert_eq!(pair.ends[1].state(), QpState::Err);
    }
}

#[test]
fn local_buffers_can_be_missing_too() {
    let (mut pair, pds) = pair();
    let (pages, mr) = implicit(&mut pair, pds[1]);
    pages.map(3);
    let sge = |page: u64| Sge { addr: page * PAGE, len: 64, lkey: mr.lkey };
    pair.recv(1, 100, &[sge(3)]);
    pair.recv(1, 101, &[sge(4)]);
    let from = pair.ends[0].sge(0, 64);
    pair.send(0, 1, SendOp::Send, &[from]);
    pair.send(0, 2, SendOp::Send, &[from]);
    pair.settle();
    assert_eq!(pair.ends[1].statuses(), [(100, WcStatus::Success), (101, WcStatus::LocProtErr)]);
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success), (2, WcStatus::RemOpErr)]);
}

#[test]
fn memory_that_may_be_missing_must_be_registered_on_demand() {
    let (mut pair, pds) = pair();
    let region = Region::paged(Arc::new(Pages::default()), 0, u64::MAX);
    let denied = pair.ends[1].device.reg_mr(pds[1], MrInit::new(region, Access::LOCAL_WRITE));
    assert_eq!(denied.map_err(VerbsError::errno), Err(22));
}

#[test]
fn advice_is_checked_against_regions_and_pages() {
    let (mut pair, pds) = pair();
    let (pages, mr) = implicit(&mut pair, pds[1]);
    pages.map(3);
    let end = &mut pair.ends[1];
    let read_only = end.device.reg_mr(pds[1], MrInit::new(&Buffer::new(64), Access::empty())).unwrap();
    let mut advise = |advice, addr, len, lkey| {
        end.device.advise_mr(pds[1], advice, &[Sge { addr, len, lkey }]).map_err(VerbsError::errno)
    };
    assert_eq!(advise(Advice::Prefetch, 3 * PAGE, 4096, mr.lkey), Ok(()));
    assert_eq!(advise(Advice::PrefetchWrite, 3 * PAGE, 4096, mr.lkey), Ok(()));
    assert_eq!(advise(Advice::Prefetch, 3 * PAGE, 4097, mr.lkey), Err(14), "the second page is missing");
    assert_eq!(advise(Advice::PrefetchNoFault, 3 * PAGE, 4097, mr.lkey), Ok(()), "nothing is fetched");
    assert_eq!(advise(Advice::Prefetch, 3 * PAGE, 8, mr.lkey ^ 1), Err(14), "no such key");
    assert_eq!(advise(Advice::Prefetch, 0, 65, read_only.lkey), Err(14), "out of range");
    let snapshot = end.device.snapshot();
    let base = snapshot.mrs.iter().find(|region| region.key == read_only.lkey).unwrap().addr;
    let mut at_base = |advice| {
        let sge = Sge { addr: base, len: 64, lkey: read_only.lkey };
        end.device.advise_mr(pds[1], advice, &[sge]).map_err(VerbsError::errno)
    };
    assert_eq!(at_base(Advice::Prefetch), Ok(()));
    assert_eq!(at_base(Advice::PrefetchWrite), Err(14), "it may not be written");
}

#[test]
fn a_null_region_swallows_and_gives_zeros() {
    let (mut pair, pds) = pair();
    let null = pair.ends[0].device.alloc_null_mr(pds[0]).unwrap();
    let sge = |len| Sge { addr: 0xdead_beef_0000, len, lkey: null.lkey };
    pair.ends[1].buffer.write(0, &[9; 16]);
    let remote = pair.ends[1].remote(0);
    pair.send(0, 1, SendOp::Read(remote), &[sge(16)]);
    pair.send(0, 2, SendOp::Write(remote), &[sge(8)]);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success), (2, WcStatus::Success)]);
    assert_eq!(pair.ends[1].buffer.to_vec(0, 16), [[0; 8], [9; 8]].concat());
    pair.ends[0].device.dereg_mr(null.lkey).unwrap();
}

#[test]
fn peers_cannot_reach_a_null_region() {
    let (mut pair, pds) = pair();
    let null = pair.ends[1].device.alloc_null_mr(pds[1]).unwrap();
    assert_eq!(write(&mut pair, Remote { addr: 0, rkey: null.rkey }), WcStatus::RemAccessErr);
}

#[test]
fn a_region_registered_anew_has_other_memory_under_the_same_key() {
    let (mut pair, _) = pair();
    let (mr, other) = (pair.ends[1].mr, Buffer::new(64));
    let change = MrChange { memory: Some((Region::from(&other), 0x5000)), ..MrChange::default() };
    pair.ends[1].device.rereg_mr(mr.lkey, change).unwrap();
    pair.ends[0].buffer.write(0, b"anewanew");
    assert_eq!(write(&mut pair, Remote { addr: 0x5000, rkey: mr.rkey }), WcStatus::Success);
    assert_eq!(other.to_vec(0, 8), b"anewanew");
    let before = pair.ends[1].remote(0);
    assert_eq!(write(&mut pair, before), WcStatus::RemAccessErr, "the old addresses lead nowhere");
}

#[test]
fn registering_anew_changes_rights_and_domain() {
    let (mut pair, pds) = pair();
    let device = &mut pair.ends[1].device;
    let other = device.alloc_pd().unwrap();
    let mr = pair.ends[1].mr;
    let moved = MrChange { pd: Some(other), ..MrChange::default() };
    device.rereg_mr(mr.lkey, moved).unwrap();
    assert!(matches!(device.dealloc_pd(other), Err(VerbsError::Busy(_))), "the region is in it now");
    let read_only = MrChange { pd: Some(pds[1]), access: Some(Access::REMOTE_READ), ..MrChange::default() };
    device.rereg_mr(mr.lkey, read_only).unwrap();
    device.dealloc_pd(other).unwrap();
    let remote = pair.ends[1].remote(0);
    let into = pair.ends[0].sge(0, 8);
    pair.send(0, 1, SendOp::Read(remote), &[into]);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert_eq!(write(&mut pair, remote), WcStatus::RemAccessErr);
}

#[test]
fn a_refused_change_leaves_everything_as_it_was() {
    let (mut pair, pds) = pair();
    let mr = pair.ends[1].mr;
    let device = &mut pair.ends[1].device;
    let gone = device.alloc_pd().unwrap();
    device.dealloc_pd(gone).unwrap();
    let long = Region::null(u64::MAX);
    let refused = [
        MrChange::default(),
        MrChange { access: Some(Access::REMOTE_WRITE), ..MrChange::default() },
        MrChange { access: Some(ALL | Access::ZERO_BASED), ..MrChange::default() },
        MrChange { memory: Some((long, 1)), ..MrChange::default() },
        MrChange { pd: Some(gone), ..MrChange::default() },
    ];
    for change in refused {
        let denied = device.rereg_mr(mr.lkey, change.clone()).map_err(VerbsError::errno);
        assert_eq!(denied, Err(22), "{change:?}");
    }
    assert!(matches!(device.rereg_mr(mr.lkey ^ 1, MrChange::default()), Err(VerbsError::Stale(_))));
    let null = device.alloc_null_mr(pds[1]).unwrap();
    assert_ne!(null, mr);
    let remote = pair.ends[1].remote(0);
    assert_eq!(write(&mut pair, remote), WcStatus::Success);
}

/// Registers `buffer` under the next key after `key`, at address 0x7000, by a work request of end 1.
fn register(pair: &mut Pair, wr_id: u64, key: u32, buffer: &Buffer) -> u32 {
    pair.ends[1].device.map_mr(key, Region::from(buffer), 0x7000).unwrap();
    let key = key & !0xff | (key + 1) & 0xff;
    pair.send(1, wr_id, SendOp::RegMr { key, access: ALL }, &[]);
    pair.settle();
    key
}

#[test]
fn memory_is_registered_and_taken_away_by_work_requests() {
    let (mut pair, pds) = pair();
    let mr = pair.ends[1].device.alloc_mr(pds[1]).unwrap();
    let (first, second) = (Buffer::new(64), Buffer::new(64));
    let key = register(&mut pair, 10, mr.lkey, &first);
    assert_eq!(pair.ends[1].poll()[0].opcode, WcOpcode::RegMr);
    assert_eq!(write(&mut pair, Remote { addr: 0x7000, rkey: key }), WcStatus::Success);
    let staged = pair.ends[1].device.map_mr(key, Region::from(&second), 0x7000);
    assert!(matches!(staged, Err(VerbsError::Busy(_))), "it is in use");
    pair.send(1, 11, SendOp::LocalInv(key), &[]);
    pair.settle();
    let next = register(&mut pair, 12, key, &second);
    let status = [(11, WcStatus::Success), (12, WcStatus::Success)];
    assert_eq!(pair.ends[1].statuses(), status);
    pair.ends[0].buffer.write(0, b"the next");
    assert_eq!(write(&mut pair, Remote { addr: 0x7000, rkey: next }), WcStatus::Success);
    assert_eq!((first.to_vec(0, 8), second.to_vec(0, 8)), (vec![0; 8], b"the next".to_vec()));
    assert_eq!(write(&mut pair, Remote { addr: 0x7000, rkey: key }), WcStatus::RemAccessErr, "an old key");
    pair.ends[1].device.dereg_mr(mr.lkey).unwrap();
    assert_eq!(pair.ends[1].device.dereg_mr(next), Err(VerbsError::Stale("memory region")));
}

#[test]
fn a_peer_can_take_away_what_a_work_request_registered() {
    let (mut pair, pds) = pair();
    let mr = pair.ends[1].device.alloc_mr(pds[1]).unwrap();
    let key = register(&mut pair, 10, mr.lkey, &Buffer::new(64));
    pair.recv(1, 100, &[]);
    pair.send(0, 1, SendOp::SendInv(key), &[]);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success)]);
    assert_eq!(pair.ends[1].poll()[1].invalidated, Some(key));
    assert_eq!(write(&mut pair, Remote { addr: 0x7000, rkey: key }), WcStatus::RemAccessErr);
}

/// IBTA 10.8.3.3 (local invalidate): a key is in use until what was posted before has completed.
#[test]
fn a_key_is_taken_away_only_when_all_before_it_is_done() {
    let (mut pair, pds) = pair();
    let mr = pair.ends[1].device.alloc_mr(pds[1]).unwrap();
    let into = Buffer::new(64);
    let key = register(&mut pair, 10, mr.lkey, &into);
    pair.ends[0].buffer.write(0, b"fetched");
    // The answer to the READ is lost once.
    pair.fate = Box::new(|from, count, _| if (from, count) == (0, 0) { Fate::Drop } else { Fate::Deliver });
    let remote = pair.ends[0].remote(0);
    pair.send(1, 11, SendOp::Read(remote), &[Sge { addr: 0x7000, len: 7, lkey: key }]);
    pair.send(1, 12, SendOp::LocalInv(key), &[]);
    pair.settle();
    assert_eq!(pair.ends[1].statuses(), [(10, WcStatus::Success)], "both wait");
    pair.run_for(1_000_000);
    assert_eq!(pair.ends[1].statuses(), [(11, WcStatus::Success), (12, WcStatus::Success)]);
    assert_eq!(into.to_vec(0, 7), b"fetched");
    assert_eq!(write(&mut pair, Remote { addr: 0x7000, rkey: key }), WcStatus::RemAccessErr);
}

/// Names memory for the next registration under a key of end 1.
fn stage(pair: &mut Pair, key: u32) {
    pair.ends[1].device.map_mr(key, Region::from(&Buffer::new(8)), 0).unwrap();
}

#[test]
fn rules_of_registering_by_work_request() {
    type Spoil = fn(&mut Pair, [Pd; 2], u32) -> SendOp;
    let cases: [(&str, WcStatus, Spoil); 5] = [
        ("nothing was named", WcStatus::MwBindErr, |_, _, key| SendOp::RegMr { key, access: ALL }),
        ("contradictory rights", WcStatus::MwBindErr, |pair, _, key| {
            stage(pair, key);
            SendOp::RegMr { key, access: Access::REMOTE_WRITE }
        }),
        ("another index", WcStatus::MwBindErr, |_, _, key| SendOp::RegMr { key: key ^ 0x100, access: ALL }),
        ("registered by a call", WcStatus::MwBindErr, |pair, _, _| SendOp::RegMr {
            key: pair.ends[1].mr.lkey,
            access: ALL,
        }),
        ("nothing is registered", WcStatus::LocQpOpErr, |_, _, key| SendOp::LocalInv(key)),
    ];
    for (name, status, spoil) in cases {
        let (mut pair, pds) = pair();
        let key = pair.ends[1].device.alloc_mr(pds[1]).unwrap().lkey;
        let op = spoil(&mut pair, pds, key);
        pair.send(1, 10, op, &[]);
        pair.settle();
        assert_eq!(pair.ends[1].statuses(), [(10, status)], "{name}");
        assert_eq!(pair.ends[1].state(), QpState::Err, "{name}");
    }
    // A key of another domain.
    let (mut pair, _) = pair();
    let other = pair.ends[1].device.alloc_pd().unwrap();
    let key = pair.ends[1].device.alloc_mr(other).unwrap().lkey;
    stage(&mut pair, key);
    pair.send(1, 10, SendOp::RegMr { key, access: ALL }, &[]);
    pair.settle();
    assert_eq!(pair.ends[1].statuses(), [(10, WcStatus::MwBindErr)]);
}

#[test]
fn device_memory_is_copied_and_reached_by_peers() {
    let (mut pair, pds) = pair();
    let device = &mut pair.ends[1].device;
    let dm = device.alloc_dm(256, 6).unwrap();
    device.copy_to_dm(dm, 64, b"on board").unwrap();
    let mr = device.reg_dm_mr(pds[1], dm, 64, 128, ALL | Access::ZERO_BASED).unwrap();
    let (into, from) = (pair.ends[0].sge(0, 8), pair.ends[0].sge(100, 8));
    pair.send(0, 1, SendOp::Read(Remote { addr: 0, rkey: mr.rkey }), &[into]);
    pair.ends[0].buffer.write(100, b"replaced");
    pair.send(0, 2, SendOp::Write(Remote { addr: 120, rkey: mr.rkey }), &[from]);
    pair.settle();
    assert_eq!(pair.ends[0].statuses(), [(1, WcStatus::Success), (2, WcStatus::Success)]);
    assert_eq!(pair.ends[0].buffer.to_vec(0, 8), b"on board");
    let mut out = [0; 8];
    pair.ends[1].device.copy_from_dm(dm, 184, &mut out).unwrap();
    assert_eq!(&out, b"replaced");
    assert_eq!(write(&mut pair, Remote { addr: 128, rkey: mr.rkey }), WcStatus::RemAccessErr);
}

#[test]
fn rules_of_device_memory() {
    let (mut pair, pds) = pair();
    let device = &mut pair.ends[1].device;
    let most = device.config().limits.max_dm_size;
    let errno = |result: Result<(), VerbsError>| result.map_err(VerbsError::errno);
    assert_eq!(errno(device.alloc_dm(most + 1, 0).map(drop)), Err(12));
    assert_eq!(errno(device.alloc_dm(0, 0).map(drop)), Err(22));
    assert_eq!(errno(device.alloc_dm(64, 13).map(drop)), Err(22));
    let dm = device.alloc_dm(most, 0).unwrap();
    assert_eq!(errno(device.alloc_dm(1, 0).map(drop)), Err(12), "all of it is taken");
    assert_eq!(errno(device.copy_to_dm(dm, 2, &[0; 4])), Err(22), "an offset inside a word");
    assert_eq!(errno(device.copy_to_dm(dm, 0, &[0; 3])), Err(22), "part of a word");
    assert_eq!(errno(device.copy_to_dm(dm, most, &[0; 4])), Err(22));
    assert_eq!(errno(device.copy_from_dm(dm, u64::MAX - 3, &mut [0; 4])), Err(22));
    let mut reg = |offset, len, access| device.reg_dm_mr(pds[1], dm, offset, len, access);
    assert_eq!(errno(reg(0, 64, ALL).map(drop)), Err(22), "not zero-based");
    assert_eq!(errno(reg(most, 1, Access::ZERO_BASED).map(drop)), Err(22));
    assert_eq!(errno(reg(u64::MAX, 2, Access::ZERO_BASED).map(drop)), Err(22));
    let mr = reg(0, 64, Access::ZERO_BASED).unwrap();
    assert!(matches!(device.free_dm(dm), Err(VerbsError::Busy(_))));
    device.dereg_mr(mr.lkey).unwrap();
    device.free_dm(dm).unwrap();
    assert_eq!(device.free_dm(dm), Err(VerbsError::Stale("device memory")));
    device.alloc_dm(most, 0).unwrap();
}

#[test]
fn a_zero_based_region_counts_from_its_start() {
    let (mut pair, pds) = pair();
    let buffer = Buffer::new(64);
    let init = MrInit::new(&buffer, ALL | Access::ZERO_BASED);
    let mr = pair.ends[1].device.reg_mr(pds[1], init).unwrap();
    pair.ends[0].buffer.write(0, b"from nil");
    assert_eq!(write(&mut pair, Remote { addr: 56, rkey: mr.rkey }), WcStatus::Success);
    assert_eq!(buffer.to_vec(56, 8), b"from nil");
    assert_eq!(write(&mut pair, Remote { addr: 57, rkey: mr.rkey }), WcStatus::RemAccessErr);
}
