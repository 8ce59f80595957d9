//! Arithmetic with registers of Ethernet's CRC-32. The CRC of bytes is `crc32fast`'s business.
//!
//! A register is a polynomial over GF(2) of degree below 32, with the coefficient of x^0 in bit 31. Input
//! moves through it: a byte is added to the low eight bits, then the register is multiplied by x^8.

/// The CRC's polynomial without its x^32.
const POLYNOMIAL: u32 = 0xEDB8_8320;
const ONE: u32 = 1 << 31;

/// Undoes `bytes` zero bytes of input: divides a register by x^8 as often.
pub(crate) fn rewind(register: u32, bytes: usize) -> u32 {
    // Three digits to the base 64 are more than the longest IP packet needs.
    let digits = [bytes % 64, bytes / 64 % 64, bytes / 4096 % 64];
    INVERSE_POWERS.iter().zip(digits).fold(register, |product, (powers, digit)| match digit {
        0 => product,
        _ => multiply(product, powers[digit]),
    })
}

/// `ADVANCED[byte]` is what a register of `byte` becomes by a zero byte of input.
static ADVANCED: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut register = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            register = register >> 1 ^ POLYNOMIAL & (register & 1).wrapping_neg();
            bit += 1;
        }
        table[byte] = register;
        byte += 1;
    }
    table
};

/// Product of two registers modulo the polynomial.
#[inline]
const fn multiply(a: u32, b: u32) -> u32 {
    let mut product = 0;
    let mut bit = 0;
    while bit < 32 {
        product ^= (a as u64) << (bit + 1) & ((b >> bit & 1) as u64).wrapping_neg();
        bit += 1;
    }
    // The upper half has the powers below x^32, the lower half is what must be multiplied by x^32.
    let mut register = product as u32;
    let mut byte = 0;
    while byte < 4 {
        register = ADVANCED[(register & 0xFF) as usize] ^ register >> 8;
        byte += 1;
    }
    (product >> 32) as u32 ^ register
}

/// `INVERSE_POWERS[place][digit]` is x to the power of -8 * digit * 64^place.
static INVERSE_POWERS: [[u32; 64]; 3] = {
    let mut powers = [[ONE; 64]; 3];
    let mut base = ONE;
    let mut i = 0;
    while i < 8 {
        base = if base & ONE == 0 { base << 1 } else { (base ^ POLYNOMIAL) << 1 | 1 };
        i += 1;
    }
    let mut place = 0;
    while place < 3 {
        let mut digit = 1;
        while digit < 64 {
            powers[place][digit] = multiply(powers[place][digit - 1], base);
            digit += 1;
        }
        base = multiply(powers[place][63], base);
        place += 1;
    }
    powers
};
