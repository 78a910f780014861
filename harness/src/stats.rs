//! Medians, quantiles, and the ratio of two peers that were measured in the same rounds.

/// The quantile `q` (0 to 1) of the values, interpolated; `None` of none.
#[must_use]
pub fn quantile(values: &[f64], q: f64) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = q.clamp(0.0, 1.0) * sorted.len().checked_sub(1)? as f64;
    let (below, above) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    Some(below + (above - below) * place.fract())
}

/// The median.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    quantile(values, 0.5)
}

/// How many times faster `mine` is than `base`: the median, 10th and 90th percentile over the rounds that have both.
/// The ratio is taken within each round, so what disturbed a whole round cancels out.
#[must_use]
pub fn ratio(mine: &[Option<f64>], base: &[Option<f64>]) -> Option<[f64; 3]> {
    let rounds: Vec<f64> = mine.iter().zip(base).filter_map(|(mine, base)| Some((*mine)? / (*base)?)).collect();
    Some([median(&rounds)?, quantile(&rounds, 0.1)?, quantile(&rounds, 0.9)?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 0.0), Some(1.0));
        assert_eq!(quantile(&[1.0, 2.0, 3.0], 1.0), Some(3.0));
        assert_eq!(quantile(&[0.0, 10.0], 0.9), Some(9.0));
    }

    #[test]
    fn a_ratio_is_of_rounds_not_of_medians() {
        // The machine was ten times slower in the second round, for both.
        let (mine, base) = ([Some(200.0), Some(20.0), Some(210.0)], [Some(100.0), Some(10.0), Some(70.0)]);
        assert_eq!(ratio(&mine, &base).unwrap()[0], 2.0);
        assert_eq!(ratio(&[None, Some(3.0)], &[Some(1.0), Some(2.0)]), Some([1.5; 3]));
        assert_eq!(ratio(&[None], &[Some(1.0)]), None);
    }
}
