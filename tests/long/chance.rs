//! Chance that can be repeated: splitmix64, and the changes that it makes to bytes.

/// Where nobody says another.
const SEED: u64 = 20_260_101;

/// Bytes that parsers stumble over.
const NASTY: [u8; 16] =
    [b'\r', b'\n', 0, b' ', b'\t', b':', b',', b';', b'0', b'9', b'+', b'-', b'"', 0x7f, 0x80, 0xff];

/// Places in which a change is made.
const CHANGES_AT_MOST: usize = 4;
const PIECE_AT_MOST: usize = 40;

/// The seed of this run. What a test prints is shown when it fails.
pub fn seed(test: &str) -> u64 {
    let seed = std::env::var("LARDER_SEED").map_or(SEED, |text| text.parse().expect("LARDER_SEED is a number"));
    eprintln!("{test}: LARDER_SEED={seed}");
    seed
}

/// FNV-1a.
pub fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// Its own for each of many cases, so that one of them can be repeated alone.
    pub fn of(seed: u64, nth: usize) -> Self {
        let mut chance = Chance(seed ^ (nth as u64).wrapping_mul(0xd134_2543_de82_ef95));
        chance.draw();
        chance
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 up to and without `n`.
    pub fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.draw() % n as u64).unwrap()
    }

    pub fn within(&mut self, from: usize, to: usize) -> usize {
        from + self.below(to - from)
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// No change, or some; `donor` lends its bytes.
    pub fn mutate(&mut self, bytes: &mut Vec<u8>, donor: &[u8]) {
        for _ in 0..self.below(CHANGES_AT_MOST + 1) {
            self.change(bytes, donor);
        }
    }

    fn change(&mut self, bytes: &mut Vec<u8>, donor: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let at = self.below(bytes.len());
        match self.below(8) {
            0 | 1 => bytes[at] ^= 1u8 << self.below(8),
            2 => bytes[at] = *self.pick(&NASTY),
            3 => bytes.insert(at, *self.pick(&NASTY)),
            4 => {
                let n = self.within(1, 9).min(bytes.len() - at);
                drop(bytes.drain(at..at + n));
            }
            5 => {
                let piece = self.piece(bytes).to_vec();
                drop(bytes.splice(at..at, piece));
            }
            6 => {
                let piece = self.piece(donor).to_vec();
                drop(bytes.splice(at..at, piece));
            }
            _ => bytes.truncate(at),
        }
    }

    fn piece<'b>(&mut self, of: &'b [u8]) -> &'b [u8] {
        if of.is_empty() {
            return of;
        }
        let from = self.below(of.len());
        let n = self.within(1, PIECE_AT_MOST).min(of.len() - from);
        &of[from..from + n]
    }
}
