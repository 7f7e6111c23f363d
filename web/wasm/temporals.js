// Names for the numbers of hc_temporal, which only who asks for a video tower needs.

/** hc_temporal */
export const TEMPORALS = { auto: 0, meanP: 1, seqTransf: 2, seqLSTM: 3 };

/** The name of a number. */
export const temporalName = (number) => Object.keys(TEMPORALS)[number];
