//! Sizes and periods as people write them in a configuration: `96MiB`, `100ms`.
//!
//! Both read back what they print, exactly, so that printing the effective configuration and
//! starting with it changes nothing.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde::{Serialize, Serializer};

/// A number of bytes.
///
/// `KiB`, `MiB`, `GiB` and `TiB` count in steps of 1024, `KB`, `MB`, `GB` and `TB` in steps of
/// 1000, as on a disk's label; a number alone is bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

/// A length of time, such as `100ms`, `2s` or `1h 30m`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

/// Why a text is no size or no period.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// The text does not say a size.
    #[error("{0:?} is not a size; write a number and a unit, such as 96MiB, 512KiB or 4096B")]
    NotASize(String),
    /// The size cannot be counted, let alone stored.
    #[error("{0:?} is too large; the largest size is 8191PiB")]
    TooLarge(String),
    /// The text does not say a period.
    #[error("{0:?} is not a period; write numbers with units, such as 100ms, 2s or 1h 30m")]
    NotAPeriod(String),
}

impl Bytes {
    const LARGEST: u64 = 8191 << 50;

    /// So many bytes.
    pub const fn new(bytes: u64) -> Self {
        Bytes(bytes)
    }

    /// So many times 1024 bytes.
    pub const fn kib(n: u64) -> Self {
        Bytes(n << 10)
    }

    /// So many times 1024 KiB.
    pub const fn mib(n: u64) -> Self {
        Bytes(n << 20)
    }

    /// So many times 1024 MiB.
    pub const fn gib(n: u64) -> Self {
        Bytes(n << 30)
    }

    /// The number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The number of bytes, for what is held in memory; the largest there is when it is larger.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Period {
    /// So many microseconds.
    pub const fn micros(n: u64) -> Self {
        Period(Duration::from_micros(n))
    }

    /// So many milliseconds.
    pub const fn millis(n: u64) -> Self {
        Period(Duration::from_millis(n))
    }

    /// So many seconds.
    pub const fn secs(n: u64) -> Self {
        Period(Duration::from_secs(n))
    }

    /// The period as the standard library has it.
    pub const fn get(self) -> Duration {
        self.0
    }
}

impl From<Duration> for Period {
    fn from(duration: Duration) -> Self {
        Period(duration)
    }
}

impl fmt::Display for Bytes {
    /// The largest binary unit that says it without a fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(50, "PiB"), (40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
        let fitting = units.iter().find(|(bits, _)| self.0 > 0 && self.0.trailing_zeros() >= *bits);
        match fitting {
            Some((bits, unit)) => write!(f, "{}{unit}", self.0 >> bits),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl FromStr for Bytes {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let size: ByteSize =
            text.trim().parse().map_err(|_| UnitError::NotASize(text.to_owned()))?;
        // The library stops counting at its largest number without a word, so what is near is
        // refused.
        if size.as_u64() > Self::LARGEST {
            return Err(UnitError::TooLarge(text.to_owned()));
        }
        Ok(Bytes(size.as_u64()))
    }
}

impl FromStr for Period {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let parsed = humantime::parse_duration(text.trim());
        parsed.map(Period).map_err(|_| UnitError::NotAPeriod(text.to_owned()))
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Bytes;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size, such as \"96MiB\", or a number of bytes")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Bytes, E> {
                text.parse().map_err(E::custom)
            }

            fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Bytes, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Bytes, E> {
                self.visit_str(&number.to_string())
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl Visitor<'_> for Reader {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a period with its unit, such as \"100ms\"")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Period, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Reader)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
    struct Sample {
        size: Bytes,
        tick: Period,
    }

    #[test]
    fn what_people_write_is_understood_and_printed_short() {
        let sizes = [
            ("96MiB", 96 << 20, "96MiB"),
            ("1.5 GiB", 3 << 29, "1536MiB"),
            ("100MB", 100_000_000, "100000000B"),
            ("4096", 4096, "4KiB"),
            ("0", 0, "0B"),
            (" 7 b ", 7, "7B"),
        ];
        for (text, bytes, printed) in sizes {
            assert_eq!(text.parse(), Ok(Bytes::new(bytes)), "{text}");
            assert_eq!(Bytes::new(bytes).to_string(), printed);
        }
        let periods = [
            ("100ms", Period::millis(100), "100ms"),
            ("1h30m", Period::secs(5400), "1h 30m"),
            ("250us", Period::micros(250), "250us"),
            ("0s", Period::default(), "0s"),
        ];
        for (text, period, printed) in periods {
            assert_eq!(text.parse(), Ok(period), "{text}");
            assert_eq!(period.to_string(), printed);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_an_example() {
        for text in ["", "MiB", "-1", "5 parsecs", "1.2.3MB", "ten"] {
            let error = text.parse::<Bytes>().expect_err(text);
            assert_eq!(error, UnitError::NotASize(text.to_owned()));
            assert!(error.to_string().ends_with("such as 96MiB, 512KiB or 4096B"), "{error}");
        }
        for text in ["8192PiB", "99999EiB", "18446744073709551615"] {
            let refused = text.parse::<Bytes>();
            assert_eq!(refused, Err(UnitError::TooLarge(text.to_owned())));
        }
        for text in ["", "100", "-1s", "5 parsecs", "99999999999999999999y"] {
            let refused = text.parse::<Period>();
            assert_eq!(refused, Err(UnitError::NotAPeriod(text.to_owned())));
        }
    }

    #[test]
    fn a_configuration_reads_back_what_it_prints() {
        let sample = Sample { size: Bytes::mib(96), tick: Period::millis(100) };
        let text = toml::to_string(&sample).expect("two strings");
        assert_eq!(text, "size = \"96MiB\"\ntick = \"100ms\"\n");
        assert_eq!(toml::from_str(&text), Ok(sample));

        let number: Sample = toml::from_str("size = 4096\ntick = \"1s\"").expect("a plain size");
        assert_eq!(number.size, Bytes::kib(4));
        for (text, complaint) in [
            ("size = -1\ntick = \"1s\"", "\"-1\" is not a size"),
            ("size = true\ntick = \"1s\"", "expected a size"),
            ("size = 1\ntick = 100", "expected a period with its unit"),
        ] {
            let error = toml::from_str::<Sample>(text).expect_err(text).to_string();
            assert!(error.contains(complaint), "{error}");
        }
    }

    proptest! {
        #[test]
        fn sizes_read_back_exactly(bytes in 0..=Bytes::LARGEST, zeros in 0..50u32) {
            for bytes in [bytes, bytes >> zeros << zeros] {
                prop_assert_eq!(Bytes::new(bytes).to_string().parse(), Ok(Bytes::new(bytes)));
            }
        }

        #[test]
        fn periods_read_back_exactly(secs in 0..1u64 << 40, nanos in 0..1_000_000_000u32) {
            let period = Period::from(Duration::new(secs, nanos));
            prop_assert_eq!(period.to_string().parse(), Ok(period));
        }
    }
}
