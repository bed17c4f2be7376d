/** An edit tail of this length is short enough for the cut-over, which shortens it further before it locks. */
export const TAIL_EDITS_MAX = 100;
