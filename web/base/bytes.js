// Text and its bytes. The coders are made when they are used: where this module is loaded, they may not be there yet, or never needed.

export const encodeText = (text) => new TextEncoder().encode(text);

export const decodeText = (bytes) => new TextDecoder().decode(bytes);
