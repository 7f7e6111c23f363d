// Numbers as people read them.

/** 3145728 → '3.1 MB' (decimal units, as file managers and networks count). */
export function formatBytes(bytes) {
  if (bytes < 1e3) return `${bytes} bytes`;
  const [value, unit] = bytes < 1e6 ? [bytes / 1e3, 'kB'] : bytes < 1e9 ? [bytes / 1e6, 'MB'] : [bytes / 1e9, 'GB'];
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${unit}`;
}

/** 3.14159 → '3.1 ms', 1240 → '1.2 s'. */
export function formatTime(milliseconds) {
  if (milliseconds >= 1000) return `${(milliseconds / 1000).toFixed(1)} s`;
  return `${milliseconds < 9.95 ? milliseconds.toFixed(1) : Math.round(milliseconds)} ms`;
}

/** How much of a tower has come: 'loading, 12 MB of 65 MB, paused'. */
export function formatLoading({ loaded, total, stopped }, verb = 'loading') {
  const bytes = total > 0 && `${formatBytes(loaded)} of ${formatBytes(total)}`;
  const reason = { paused: 'paused', offline: 'waiting for the network' }[stopped];
  return [verb, bytes, reason].filter(Boolean).join(', ');
}

/** (1, 'picture') → '1 picture', (1200, 'picture') → '1,200 pictures'. */
export function plural(count, noun) {
  return `${count.toLocaleString('en')} ${noun}${count === 1 ? '' : 's'}`;
}

/** 95,000 → '1:35', 3,700,000 → '1:01:40'. */
export function formatDuration(milliseconds) {
  const seconds = Math.ceil(milliseconds / 1000);
  const two = (value) => String(value).padStart(2, '0');
  const minutes = `${Math.floor(seconds / 60) % 60}`;
  if (seconds < 3600) return `${minutes}:${two(seconds % 60)}`;
  return `${Math.floor(seconds / 3600)}:${two(minutes)}:${two(seconds % 60)}`;
}
