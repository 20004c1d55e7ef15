# What both tests of bcachefs-iostat ask of its TSV.

# cell SELECT COLUMN : of the last row of $output (TSV) where every name=value of SELECT holds.
cell() {
	awk -F '\t' -v select="$1" -v column="$2" '
		NR == 1 { for (i = 1; i <= NF; i++) at[$i] = i; n = split(select, want, " "); next }
		{
			for (i = 1; i <= n; i++) {
				split(want[i], pair, "=")
				if ($at[pair[1]] != pair[2])
					next
			}
			value = $at[column]
		}
		END { if (!(column in at)) value = "no such column"; print value }' <<<"$output"
}
