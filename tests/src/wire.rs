//! A notation for bytes on the wire, so that a test shows what is wrong with them and nothing else.
//!
//! - `30ff`: these bytes, in hexadecimal;
//! - `'text'`: a string behind its two-byte length, `''` the empty one;
//! - `=text`: the text alone;
//! - `[ ... ]`: what is between, behind its length as a variable byte integer.
//!
//! A PUBLISH of version 5 with a subscription identifier is `30 [ 'a/b' [ 0b 01 ] =payload ]`.

/// The bytes that `notation` stands for.
///
/// # Panics
/// If it is not in the notation.
pub fn bytes(notation: &str) -> Vec<u8> {
    let mut open = vec![Vec::new()];
    for word in notation.split_whitespace() {
        match word {
            "[" => open.push(Vec::new()),
            "]" => {
                let inner = open.pop().expect("a list");
                let outer = open.last_mut().expect("a '[' for each ']'");
                varint(inner.len(), outer);
                outer.extend(inner);
            }
            word => item(word, open.last_mut().expect("a list")),
        }
    }
    assert_eq!(open.len(), 1, "a ']' for each '[' in {notation}");
    open.remove(0)
}

fn item(word: &str, out: &mut Vec<u8>) {
    if let Some(text) = word.strip_prefix('=') {
        out.extend(text.as_bytes());
    } else if let Some(text) = word.strip_prefix('\'').and_then(|word| word.strip_suffix('\'')) {
        out.extend(u16::try_from(text.len()).expect("a short text").to_be_bytes());
        out.extend(text.as_bytes());
    } else {
        assert!(word.len().is_multiple_of(2), "{word} has an odd number of digits");
        for at in (0..word.len()).step_by(2) {
            out.push(u8::from_str_radix(&word[at..at + 2], 16).expect("hexadecimal digits"));
        }
    }
}

/// Appends `value` as a variable byte integer in its shortest form.
pub fn varint(mut value: usize, out: &mut Vec<u8>) {
    while value > 0x7F {
        out.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::bytes;

    #[test]
    fn the_notation_means_what_it_says() {
        assert_eq!(bytes("30 [ 'a/b' [ 0b01 ] =pay ]"), b"\x30\x0b\x00\x03a/b\x02\x0b\x01pay");
        assert_eq!(bytes("c000"), [0xC0, 0]);
        assert_eq!(bytes("e0 [ ]"), [0xE0, 0]);
    }
}
