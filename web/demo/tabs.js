// Tabs by keyboard, as the ARIA Authoring Practices describe them: arrows, Home and End move and select.

/**
 * @param {HTMLElement} list  role=tablist, holding role=tab buttons whose aria-controls name the panels
 * @param {Record<string, () => void>} onSelect  called by tab id when that tab is selected
 */
export function createTabs(list, onSelect = {}) {
  const tabs = [...list.querySelectorAll('[role=tab]')];

  function select(tab) {
    for (const other of tabs) {
      const selected = other === tab;
      other.setAttribute('aria-selected', String(selected));
      other.tabIndex = selected ? 0 : -1;
      document.getElementById(other.getAttribute('aria-controls')).hidden = !selected;
    }
    onSelect[tab.id]?.();
  }

  list.addEventListener('click', (event) => {
    const tab = event.target.closest('[role=tab]');
    if (tab) select(tab);
  });
  list.addEventListener('keydown', (event) => {
    const current = tabs.indexOf(document.activeElement);
    const target = {
      ArrowLeft: tabs.at(current - 1),
      ArrowRight: tabs[(current + 1) % tabs.length],
      Home: tabs[0],
      End: tabs.at(-1),
    }[event.key];
    if (current < 0 || !target) return;
    event.preventDefault();
    target.focus();
    select(target);
  });
  return { select };
}
