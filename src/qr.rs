//! A URL as a QR code: text in, lines out.

use qrcodegen::{QrCode, QrCodeEcc};

/// Light modules around the code, which scanners need (ISO/IEC 18004).
const QUIET_ZONE: i32 = 2;

/// The code in half blocks, two modules a character, dark on light whatever the terminal's
/// colours when `with_colour`. None when the text is too long for any code.
pub fn lines(text: &str, with_colour: bool) -> Option<Vec<String>> {
    let code = QrCode::encode_text(text, QrCodeEcc::Low).ok()?;
    let range = -QUIET_ZONE..code.size() + QUIET_ZONE;
    let row = |y: i32| {
        let cells =
            range.clone().map(|x| match (code.get_module(x, y), code.get_module(x, y + 1)) {
                // Without colour the terminal is taken to be light on dark: light is drawn.
                (false, false) => '█',
                (false, true) => '▀',
                (true, false) => '▄',
                (true, true) => ' ',
            });
        let cells: String = cells.collect();
        if with_colour { format!("\x1b[97;40m{cells}\x1b[0m") } else { cells }
    };
    Some(range.clone().step_by(2).map(row).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_square_and_has_its_finder() {
        let lines = lines("https://example.com/", false).unwrap();
        let width = lines[0].chars().count();
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(lines[1].starts_with("██ ▄▄▄▄▄ █"), "{}", lines[1]);
    }

    #[test]
    fn what_no_code_can_hold_is_refused() {
        assert!(lines(&"x".repeat(10_000), false).is_none());
    }
}
