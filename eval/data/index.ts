/** Problems of published data sets and of files, from the hub or from local copies. */
export { type DataOptions, readDataOptions } from "./data-option.ts";
export { DATA_SET_NAMES, DATA_SETS, type DataSet, type DataSetName, isDataSetName } from "./data-sets.ts";
export {
  type DataSource,
  type LoadedData,
  type LoadOptions,
  loadDataFile,
  loadDataset,
} from "./load-data.ts";
export type { DataProblem } from "./read-problems.ts";
