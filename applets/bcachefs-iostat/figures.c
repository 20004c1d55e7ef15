/* The rules: what two readings of a device say about the time between them. Pure. */
#include "applets/bcachefs-iostat/model.h"

static uint64_t sum_or_none(uint64_t a, uint64_t b)
{
	uint64_t sum;

	if (a == U64_NONE || b == U64_NONE || __builtin_add_overflow(a, b, &sum))
		return U64_NONE;
	return sum;
}

static uint64_t delta_or_none(uint64_t before, uint64_t now)
{
	return before == U64_NONE || now == U64_NONE || now < before ? U64_NONE : now - before;
}

static uint64_t product_or_none(uint64_t a, uint64_t b)
{
	uint64_t v;

	if (a == U64_NONE || b == U64_NONE || __builtin_mul_overflow(a, b, &v))
		return U64_NONE;
	return v;
}

/* Milliseconds that older kernels keep in 32 bits, which are full after 49 days. */
static double delta_ms(uint64_t before, uint64_t now)
{
	if (now >= before)
		return (double)(now - before);
	if (before <= UINT32_MAX && before - now > UINT32_MAX / 2)
		return (double)(now + (UINT64_C(1) << 32) - before);
	return DOUBLE_NONE;
}

/* The bytes of a type by its name; both readings have them in the same place as a rule. */
static uint64_t type_bytes(const struct io_done *io, unsigned hint, const char *name, int d)
{
	if (hint < io->n && streq(io->type[hint].name, name))
		return io->type[hint].bytes[d];
	for (unsigned i = 0; i < io->n; i++)
		if (streq(io->type[i].name, name))
			return io->type[i].bytes[d];
	return U64_NONE;
}

static bool went_down(uint64_t before, uint64_t now)
{
	return before != U64_NONE && now != U64_NONE && now < before;
}

/* The counters are in memory: they begin again with a mount. */
static bool is_restarted(const struct member *before, const struct member *now)
{
	if (before->node && now->node && before->node != now->node)
		return true;
	for (int d = READ; d <= WRITE; d++) {
		if (went_down(before->latency[d].count, now->latency[d].count) ||
		    went_down(before->latency[d].total_ns, now->latency[d].total_ns))
			return true;
		for (unsigned i = 0; i < now->io.n; i++)
			if (went_down(type_bytes(&before->io, i, now->io.type[i].name, d),
				      now->io.type[i].bytes[d]))
				return true;
	}
	return false;
}

static void done_delta(const struct io_done *before, const struct io_done *now, struct io_done *ret)
{
	*ret = *now;
	if (!before)
		return;
	for (int d = READ; d <= WRITE; d++) {
		for (unsigned i = 0; i < now->n; i++)
			ret->type[i].bytes[d] =
				delta_or_none(type_bytes(before, i, now->type[i].name, d),
					      now->type[i].bytes[d]);
		ret->total_bytes[d] = delta_or_none(before->total_bytes[d], now->total_bytes[d]);
	}
}

/* Exact where both ends have the sum of all times; else the kernel's mean of late, for the I/Os
 * that were counted in between: none counted, no latency. */
static void latency_delta(const struct latency *before, const struct latency *now, int d,
			  struct figures *f)
{
	uint64_t count = before ? delta_or_none(before->count, now->count) : now->count;
	uint64_t total = before ? delta_or_none(before->total_ns, now->total_ns) : now->total_ns;
	uint64_t mean = before || now->mean_ns == U64_NONE ? now->recent_ns : now->mean_ns;

	f->latency_count[d] = count;
	f->latency_sum_ns[d] = DOUBLE_NONE;
	f->approximate[d] = false;
	if (count == 0) {
		f->latency_sum_ns[d] = 0;
	} else if (count != U64_NONE && total != U64_NONE) {
		f->latency_sum_ns[d] = (double)total;
	} else if (mean != U64_NONE && (count != U64_NONE || now->count == U64_NONE)) {
		/* Where nothing is counted (only io_latency_read is there) it stands for one. */
		f->latency_sum_ns[d] = (double)mean * (count == U64_NONE ? 1 : (double)count);
		f->approximate[d] = true;
	}
}

static void block_delta(const struct member *before, const struct member *now, struct figures *f)
{
	const struct block_stat *a = before ? &before->block : NULL, *b = &now->block;

	f->queue_ms = f->busy_share = DOUBLE_NONE;
	for (int d = READ; d <= WRITE; d++) {
		f->ios[d] = f->block_bytes[d] = U64_NONE;
		f->ticks_ms[d] = DOUBLE_NONE;
	}
	/* Before the first reading of ours they count since the device appeared, not since mount. */
	if (!a || !a->found || !b->found || !streq(before->device, now->device))
		return;
	for (int d = READ; d <= WRITE; d++)
		if (b->ios[d] < a->ios[d] || b->sectors[d] < a->sectors[d])
			return; /* another device of that name */
	for (int d = READ; d <= WRITE; d++) {
		f->ios[d] = b->ios[d] - a->ios[d];
		f->block_bytes[d] = product_or_none(b->sectors[d] - a->sectors[d], 512);
		f->ticks_ms[d] = delta_ms(a->ticks_ms[d], b->ticks_ms[d]);
	}
	f->queue_ms = delta_ms(a->queue_ms, b->queue_ms);
	if (f->span_s > 0)
		f->busy_share = delta_ms(a->busy_ms, b->busy_ms) / 1e3 / f->span_s;
	if (f->busy_share > 1)
		f->busy_share = 1; /* the clocks are not read at one instant */
}

static uint64_t errors_sum(const struct io_errors *e)
{
	return sum_or_none(sum_or_none(e->read, e->write), e->checksum);
}

void member_figures(const struct member *before, const struct member *now, double span_s,
		    bool in_run, struct figures *ret)
{
	struct figures *f = ret;
	bool restarted = before && is_restarted(before, now);
	/* After a restart everything counted is of this span. */
	const struct member *base = restarted ? NULL : before;

	*f = (struct figures){ .span_s = span_s, .restarted = restarted,
			       .since_mount = !before && !in_run, .is_new = !before && in_run };
	done_delta(base ? &base->io : NULL, &now->io, &f->done);
	for (int d = READ; d <= WRITE; d++) {
		latency_delta(base ? &base->latency[d] : NULL, &now->latency[d], d, f);
		memcpy(f->quantile_ns[d], now->latency[d].quantile_ns, sizeof f->quantile_ns[d]);
		/* Before the first I/O they are all 0, and mean nothing. */
		for (size_t i = 0; !now->latency[d].count && i < QUANTILES; i++)
			f->quantile_ns[d][i] = U64_NONE;
	}
	block_delta(before, now, f);
	f->errors = now->errors;
	if (before) {
		uint64_t rose = delta_or_none(errors_sum(&before->errors), errors_sum(&now->errors));

		f->new_errors = rose == U64_NONE ? 0 : rose;
	}
	f->size_bytes = product_or_none(now->usage.capacity, now->bucket_bytes);
	f->used_bytes = now->usage.empty == U64_NONE
				? U64_NONE
				: product_or_none(now->usage.capacity - now->usage.empty,
						  now->bucket_bytes);
}

void figures_zero(struct figures *sum, double span_s, bool since_mount)
{
	*sum = (struct figures){ .span_s = span_s, .since_mount = since_mount };
	for (int d = READ; d <= WRITE; d++)
		for (size_t i = 0; i < QUANTILES; i++)
			sum->quantile_ns[d][i] = U64_NONE; /* quantiles have no sum */
}

/* A type that is not in all of them counts as nothing where it is not. */
void io_done_add(struct io_done *sum, const struct io_done *one)
{
	for (unsigned i = 0; i < one->n; i++) {
		unsigned k = 0;

		while (k < sum->n && !streq(sum->type[k].name, one->type[i].name))
			k++;
		if (k == DATA_TYPES_MAX)
			continue;
		if (k == sum->n) {
			sum->type[k] = one->type[i];
			sum->n++;
			continue;
		}
		for (int d = READ; d <= WRITE; d++)
			sum->type[k].bytes[d] =
				sum_or_none(sum->type[k].bytes[d], one->type[i].bytes[d]);
	}
	for (int d = READ; d <= WRITE; d++)
		sum->total_bytes[d] = sum_or_none(sum->total_bytes[d], one->total_bytes[d]);
}

void figures_add(struct figures *sum, const struct figures *one, bool online)
{
	io_done_add(&sum->done, &one->done);
	for (int d = READ; d <= WRITE; d++) {
		sum->latency_count[d] = sum_or_none(sum->latency_count[d], one->latency_count[d]);
		sum->latency_sum_ns[d] += one->latency_sum_ns[d];
		sum->approximate[d] |= one->approximate[d];
		if (!online)
			continue;
		sum->ios[d] = sum_or_none(sum->ios[d], one->ios[d]);
		sum->block_bytes[d] = sum_or_none(sum->block_bytes[d], one->block_bytes[d]);
		sum->ticks_ms[d] += one->ticks_ms[d];
	}
	if (online) {
		sum->queue_ms += one->queue_ms;
		/* A filesystem is as busy as its busiest device. */
		if (!(one->busy_share <= sum->busy_share))
			sum->busy_share = one->busy_share;
	}
	sum->errors.read = sum_or_none(sum->errors.read, one->errors.read);
	sum->errors.write = sum_or_none(sum->errors.write, one->errors.write);
	sum->errors.checksum = sum_or_none(sum->errors.checksum, one->errors.checksum);
	sum->errors.flush = U64_NONE;
	sum->new_errors += one->new_errors;
	sum->size_bytes = sum_or_none(sum->size_bytes, one->size_bytes);
	sum->used_bytes = sum_or_none(sum->used_bytes, one->used_bytes);
	sum->restarted |= one->restarted;
}
