//! What a program for Linux says about the libraries that it needs (the System V ABI, and GNU's symbol versions).

use std::collections::BTreeMap;

/// An ELF file of 64 bits, little-endian.
#[derive(Debug, Default)]
pub(super) struct Elf {
    /// Libraries are loaded for it.
    pub dynamic: bool,
    /// Their names (`DT_NEEDED`).
    pub needed: Vec<String>,
    /// Where it wants to look for them first (`DT_RPATH`, `DT_RUNPATH`).
    pub paths: Vec<String>,
    /// Names and versions that others must provide, and the library from which it had them.
    pub wants: Vec<(String, String, String)>,
    /// Names and versions that it provides.
    pub offers: Vec<(String, String)>,
}

/// A section: its type, its bytes, the section that belongs to it, and a number of entries.
struct Section<'a> {
    kind: u32,
    bytes: &'a [u8],
    link: usize,
    info: usize,
}

const DYNAMIC: u32 = 6;
const DYNSYM: u32 = 11;
const VERDEF: u32 = 0x6fff_fffd;
const VERNEED: u32 = 0x6fff_fffe;
const VERSYM: u32 = 0x6fff_ffff;

impl Elf {
    /// `None` for anything else, or a damaged file.
    pub(super) fn parse(file: &[u8]) -> Option<Elf> {
        if file.get(..6)? != b"\x7fELF\x02\x01" {
            return None;
        }
        let sections = sections(file)?;
        let find = |kind: u32| sections.iter().find(|section| section.kind == kind);
        let mut elf = Elf::default();
        let Some(dynamic) = find(DYNAMIC) else { return Some(elf) };
        elf.dynamic = true;
        let names = sections.get(dynamic.link)?.bytes;
        for entry in dynamic.bytes.chunks_exact(16) {
            let (tag, value) = (u64_at(entry, 0)?, u64_at(entry, 8)? as usize);
            match tag {
                1 => elf.needed.push(text(names, value)?),
                15 | 29 => elf.paths.push(text(names, value)?),
                _ => {}
            }
        }
        let Some(symbols) = find(DYNSYM) else { return Some(elf) };
        let names = sections.get(symbols.link)?.bytes;
        let mut versions = BTreeMap::new();
        if let Some(section) = find(VERNEED) {
            needed_versions(section, sections.get(section.link)?.bytes, &mut versions)?;
        }
        if let Some(section) = find(VERDEF) {
            defined_versions(section, sections.get(section.link)?.bytes, &mut versions)?;
        }
        let numbers = find(VERSYM).map_or(&[][..], |section| section.bytes);
        for (symbol, number) in symbols.bytes.chunks_exact(24).zip(numbers.chunks_exact(2)) {
            let name = text(names, u32_at(symbol, 0)? as usize)?;
            let defined = u16_at(symbol, 6)? != 0;
            let Some((version, library)) = versions.get(&(u16_at(number, 0)? & 0x7fff)) else { continue };
            match defined {
                true => elf.offers.push((name, version.clone())),
                false => elf.wants.push((name, version.clone(), library.clone())),
            }
        }
        Some(elf)
    }
}

fn sections(file: &[u8]) -> Option<Vec<Section<'_>>> {
    let (start, size) = (u64_at(file, 0x28)? as usize, usize::from(u16_at(file, 0x3a)?));
    let mut all = Vec::new();
    for number in 0..usize::from(u16_at(file, 0x3c)?) {
        let header = file.get(start.checked_add(number * size)?..)?;
        let (kind, at, len) =
            (u32_at(header, 4)?, u64_at(header, 24)? as usize, u64_at(header, 32)? as usize);
        // What has no bytes in the file (SHT_NOBITS) is of no interest.
        let bytes = file.get(at..at.checked_add(len)?).unwrap_or(&[]);
        all.push(Section {
            kind,
            bytes,
            link: u32_at(header, 40)? as usize,
            info: u32_at(header, 44)? as usize,
        });
    }
    Some(all)
}

/// By number: the name of a version, and of the library that has it.
type Versions = BTreeMap<u16, (String, String)>;

fn needed_versions(section: &Section<'_>, names: &[u8], to: &mut Versions) -> Option<()> {
    let mut library = section.bytes;
    for _ in 0..section.info {
        let from = text(names, u32_at(library, 4)? as usize)?;
        let mut version = library.get(u32_at(library, 8)? as usize..)?;
        for _ in 0..u16_at(library, 2)? {
            let name = text(names, u32_at(version, 8)? as usize)?;
            to.insert(u16_at(version, 6)?, (name, from.clone()));
            version = version.get(u32_at(version, 12)? as usize..)?;
        }
        library = library.get(u32_at(library, 12)? as usize..)?;
    }
    Some(())
}

fn defined_versions(section: &Section<'_>, names: &[u8], to: &mut Versions) -> Option<()> {
    let mut version = section.bytes;
    for _ in 0..section.info {
        let name = version.get(u32_at(version, 12)? as usize..)?;
        to.insert(u16_at(version, 4)?, (text(names, u32_at(name, 0)? as usize)?, String::new()));
        version = version.get(u32_at(version, 16)? as usize..)?;
    }
    Some(())
}

fn text(names: &[u8], at: usize) -> Option<String> {
    let bytes = names.get(at..)?;
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some(String::from_utf8_lossy(&bytes[..end]).into_owned())
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_test_says_what_it_needs() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let elf = Elf::parse(&file).unwrap();
        assert!(elf.dynamic && elf.needed.iter().any(|name| name == "libc.so.6"));
        let is_memcpy = |(name, _, from): &(String, String, String)| name == "memcpy" && from == "libc.so.6";
        assert!(elf.wants.iter().any(is_memcpy));
    }

    #[test]
    fn damaged_files_are_told_from_whole_ones() {
        let file = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        for len in [0, 5, 6, 63, 64, 4096] {
            assert!(Elf::parse(&file[..len]).is_none(), "{len}");
        }
        let mut wrong = file[..4096].to_vec();
        wrong[0x28..0x30].fill(0xff);
        assert!(Elf::parse(&wrong).is_none());
        assert!(Elf::parse(b"#!/bin/sh\n").is_none());
    }
}
