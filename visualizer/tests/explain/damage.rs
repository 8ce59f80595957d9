//! Files that were cut or changed: whatever they say, an answer and no panic.

use ferroce_visualizer::explain::{OpenError, explain};
use proptest::prelude::*;

use crate::made::{self, Form};
use crate::{capture, kinds, report};

#[test]
fn a_capture_cut_anywhere_is_explained_up_to_there() {
    let whole = capture("rc_send_64.pcap");
    let packets = report(&whole).packets;
    let mut explained = 0;
    for len in 0..whole.len() {
        match explain(&whole[..len], &mut |_, _, _| {}) {
            Err(OpenError::TooShort) => assert!(len < 24, "{len}"),
            Err(error) => panic!("{len}: {error}"),
            Ok(report) => {
                assert!(report.packets >= explained && report.packets < packets, "{len}");
                explained = report.packets;
                assert_eq!(report.icrc_ok, report.packets, "{len}");
                // A cut between two records cannot be seen.
                let between = len == 24 || whole_records(&whole, len);
                assert_eq!(kinds(&report).contains(&"file.damaged"), !between, "{len}");
            }
        }
    }
    assert_eq!(explained, packets - 1);
}

fn whole_records(file: &[u8], len: usize) -> bool {
    let mut at = 24;
    while at < len {
        at += 16 + u32::from_le_bytes(file[at + 8..at + 12].try_into().unwrap()) as usize;
    }
    at == len
}

#[test]
fn a_pcapng_cut_anywhere_is_explained_up_to_there() {
    let whole = made::file(Form::Ng, 1, &[made::frame(1), made::frame(2)]);
    let mut explained = 0;
    for len in 0..whole.len() {
        if let Ok(report) = explain(&whole[..len], &mut |_, _, _| {}) {
            assert!(report.packets >= explained, "{len}");
            explained = report.packets;
        }
    }
    assert_eq!(explained, 1);
    assert_eq!(report(&whole).packets, 2);
}

#[test]
fn an_impossible_length_ends_the_file_without_a_panic() {
    let mut file = made::file(Form::Little, 1, &[made::frame(1), made::frame(2)]);
    let second = 24 + 16 + made::frame(1).len();
    file[second + 8..second + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    let report = report(&file);
    assert_eq!((report.packets, kinds(&report)), (1, vec!["file.damaged"]));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// Bytes of a good capture are changed at random, the file header spared so that it is read at all.
    #[test]
    fn changed_bytes_do_not_confuse(
        pick in 0_usize..4,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        let mut file = match pick {
            0 => capture("loss_atomic.pcap"),
            1 => capture("cm_rping.pcap"),
            2 => made::file(Form::Ng, 1, &[made::frame(1), made::frame(2), made::frame(3)]),
            _ => capture("read_lat_64.pcap"),
        };
        for (place, value) in &changes {
            let at = 24 + place.index(file.len() - 24);
            file[at] = *value;
        }
        if let Ok(report) = explain(&file[..], &mut |_, _, _| {}) {
            prop_assert_eq!(report.roce + report.undecodable + report.other, report.packets);
            prop_assert_eq!(report.icrc_ok + report.icrc_bad + report.icrc_unchecked, report.roce);
            prop_assert!(report.findings.iter().all(|finding| !finding.text.is_empty()));
        }
    }

    /// A damaged packet has a wrong ICRC, is named, and nothing else of it is believed.
    #[test]
    fn a_flipped_bit_is_noticed(place in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut file = capture("rc_send_64.pcap");
        // From the destination QP on: what lies before may change what kind of packet it is.
        let transport = 24 + 16 + 14 + 20 + 8 + 5..24 + 16 + file_len_of_first(&file);
        let at = transport.start + place.index(transport.len());
        file[at] ^= 1 << bit;
        let report = report(&file);
        prop_assert_eq!(report.icrc_bad, 1);
        prop_assert_eq!((report.findings[0].kind, &report.findings[0].packets), ("wire.icrc-bad", &vec![1]));
    }
}

fn file_len_of_first(file: &[u8]) -> usize {
    u32::from_le_bytes(file[24 + 8..24 + 12].try_into().unwrap()) as usize
}
