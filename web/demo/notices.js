// What went wrong, in words, with a way out. The container has role=alert, so that it is read out when it fills.

/**
 * @param {HTMLElement} container
 * @returns {{ show(key: string, message: string, options?: { retry?: () => void, dismissed?: () => void, action?: { label:
 *   string, run: () => void } }): void, clear(key: string): void }} a key holds one notice: showing it again replaces it
 */
export function createNotices(container) {
  const shown = new Map();

  function clear(key) {
    shown.get(key)?.remove();
    shown.delete(key);
  }

  function button(label, action) {
    const element = document.createElement('button');
    element.type = 'button';
    element.textContent = label;
    element.addEventListener('click', action);
    return element;
  }

  function show(key, message, { retry, dismissed, action } = {}) {
    clear(key);
    const notice = document.createElement('div');
    notice.className = 'notice';
    const text = document.createElement('p');
    text.textContent = message;
    notice.append(text);
    if (retry) {
      notice.append(
        button('Try again', () => {
          clear(key);
          retry();
        }),
      );
    }
    if (action) notice.append(button(action.label, action.run));
    notice.append(
      button('Dismiss', () => {
        clear(key);
        dismissed?.();
      }),
    );
    shown.set(key, notice);
    container.append(notice);
  }

  return { show, clear };
}
