package recommender

import java.io.File
import java.io.FileOutputStream
import java.io.IOException
import java.io.InputStream
import java.net.HttpURLConnection
import java.net.URL

/**
 * Keeps a pushed model up to date: a new version replaces the version in use only if it is complete and loads.
 *
 * @param folder folder in the app's files. It holds the version in use, which `latest` names, and the version before.
 * @param address https address of the pipeline's folder as the Pusher writes it.
 * @param open opens the file at an address.
 */
class Updates(
    private val folder: File,
    private val address: String,
    private val open: (String) -> InputStream = ::download,
) {
    /** Returns the folder of the version in use, or null before the first update. */
    fun current(): File? {
        val version = try {
            File(folder, LATEST).readText().trim()
        } catch (_: IOException) {
            return null
        }
        return File(folder, version).takeIf { isVersion(version) && File(it, INFO).isFile }
    }

    /**
     * Downloads and checks the newest version, and puts it into use. Call it from one background thread.
     *
     * @return the folder of the new version, or null if the newest version is already in use. If its files are damaged,
     *   they are downloaded again.
     * @throws ArtifactException The version cannot be downloaded or used. The version in use has not changed.
     */
    @Synchronized
    fun update(): File? {
        val version = reading("$address/$LATEST") { it.readBytes().decodeToString().trim() }
        if (!isVersion(version)) throw ArtifactException("$address/$LATEST: $version is not a version")
        val inUse = current()
        if (inUse != null && inUse.name == version && isIntact(inUse)) return null
        folder.listFiles { file -> file.name.startsWith(STAGING) }?.forEach { it.deleteRecursively() }
        val staging = File(folder, STAGING + version)
        try {
            if (!staging.mkdirs()) throw ArtifactException("$staging: cannot be created")
            for (name in listOf(INFO, ITEMS, MODEL)) save("$address/$version/$name", File(staging, name))
            Recommender(staging).close() // Throws an error if the version is damaged or too new.
            install(staging, version, inUse)
        } finally {
            staging.deleteRecursively()
        }
        return File(folder, version)
    }

    private fun install(staging: File, version: String, inUse: File?) {
        val target = File(folder, version)
        target.deleteRecursively() // An earlier update may have been killed before it wrote `latest`.
        val latest = File(folder, ".$LATEST")
        try {
            if (!staging.renameTo(target)) throw IOException("it cannot be renamed")
            FileOutputStream(latest).use {
                it.write("$version\n".toByteArray())
                it.fd.sync()
            }
            if (!latest.renameTo(File(folder, LATEST))) throw IOException("it cannot be renamed")
        } catch (error: IOException) {
            throw ArtifactException("$target: cannot be written (${error.message})")
        }
        if (inUse == null || inUse == target) return
        val old = folder.listFiles { file -> isVersion(file.name) && File(file, INFO).isFile && file != target && file != inUse }
        old?.forEach { it.deleteRecursively() }
    }

    private fun isIntact(version: File): Boolean =
        try {
            Artifact(version)
            true
        } catch (_: ArtifactException) {
            false
        }

    private fun save(address: String, file: File) =
        reading(address) { source ->
            FileOutputStream(file).use { target ->
                source.copyTo(target)
                target.fd.sync()
            }
        }

    private fun <T> reading(address: String, block: (InputStream) -> T): T =
        try {
            open(address).use(block)
        } catch (error: IOException) {
            throw ArtifactException("$address: cannot be downloaded (${error.message})")
        }

    private companion object {
        const val LATEST = "latest"
        const val STAGING = ".staging-"

        fun isVersion(text: String) = text.isNotEmpty() && text.all { it.isLetterOrDigit() }
    }
}

/** Opens the file at an https address. */
private fun download(address: String): InputStream {
    val connection = URL(address).openConnection() as HttpURLConnection
    connection.connectTimeout = 30_000
    connection.readTimeout = 30_000
    if (connection.responseCode != 200) throw IOException("the server responds ${connection.responseCode}")
    return connection.inputStream
}
