/** The NVIDIA cards of a Linux machine, as the driver's files in /proc tell of them. */
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface NvidiaCard {
  /** The name that Vulkan gives the card, too. */
  readonly model: string;
  /** Domain, bus, device and function on the PCI bus, such as "0000:0b:00.0". */
  readonly address: string;
  /** The device file. A process that cannot open it does not have the card. */
  readonly file: string;
}

/** The driver's folder: one folder a card, named by its PCI address. */
const FOLDER = "/proc/driver/nvidia/gpus";

/** The cards whose device files this process may open, by PCI address. None where there is no NVIDIA driver. */
export function usableNvidiaCards(): readonly NvidiaCard[] {
  return nvidiaCards(FOLDER, "/dev").filter(({ file }) => canOpen(file));
}

/** Reads the driver's folder. devices: the folder of the device files. */
export function nvidiaCards(folder: string, devices: string): readonly NvidiaCard[] {
  const cards = addresses(folder).flatMap((address) => {
    const text = readFileSync(join(folder, address, "information"), "utf8");
    const model = /^Model:\s*(.+?)\s*$/m.exec(text)?.[1];
    const minor = /^Device Minor:\s*(\d+)\s*$/m.exec(text)?.[1];
    if (model === undefined || minor === undefined) return [];
    return [{ model, address: address.toLowerCase(), file: join(devices, `nvidia${minor}`) }];
  });
  return cards.sort((a, b) => (a.address < b.address ? -1 : 1));
}

function addresses(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch {
    return []; // another system, or no such driver
  }
}

/** True if opening works: permissions alone do not tell, because control groups and mount options refuse as well. */
function canOpen(file: string): boolean {
  try {
    closeSync(openSync(file, "r+"));
    return true;
  } catch {
    return false;
  }
}
